"""Where rotated vectors lie in memory: the compiler is promised it before they are."""

import pytest
import torch
from torch import Tensor

import nn.fused.rope as fused

COS, SIN = torch.rand(3, 2), torch.rand(3, 2)
LAYOUTS = {
    "without gaps": torch.randn(2, 5, 3, 4),
    "by head": torch.randn(2, 3, 5, 4).transpose(1, 2),
    "with gaps": torch.randn(2, 3, 5, 12)[..., 4:8].transpose(1, 2),
    "at odd places": torch.randn(2, 5, 3, 5)[..., 1:],
    "by head at odd places": torch.randn(2, 3, 5, 5)[..., 1:].transpose(1, 2),
    "bfloat16 by head": torch.randn(2, 3, 5, 4, dtype=torch.bfloat16).transpose(1, 2),
}


@pytest.mark.parametrize("x", LAYOUTS.values(), ids=LAYOUTS)
def test_the_result_lies_as_the_compiler_is_told(x: Tensor) -> None:
    arguments = (x, COS, SIN)
    torch.library.opcheck(fused._turn_opaquely, arguments, test_utils="test_faketensor")
    assert torch.equal(fused._turn_opaquely(*arguments), fused._turn(*arguments))
