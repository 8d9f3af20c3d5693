"""`fused_silu_product` against torch in float64."""

import pytest
import torch
import torch.nn.functional as F
from kernel_accuracy import DTYPES, assert_exact
from torch import Tensor

from nn.triton_kernels.swiglu import fused_silu_product

pytestmark = pytest.mark.gpu


def exact_product(a: Tensor, b: Tensor) -> Tensor:
    return F.silu(a) * b


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_equals_the_exact_result(device: torch.device, dtype: torch.dtype) -> None:
    inputs = [torch.randn(17, 131, device=device, dtype=dtype) for _ in "ab"]
    assert_exact(fused_silu_product, exact_product, inputs)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 257)])
def test_every_shape_equals_the_exact_result(device: torch.device, shape: tuple[int, ...]) -> None:
    inputs = [torch.randn(shape, device=device) for _ in "ab"]
    assert_exact(fused_silu_product, exact_product, inputs)


def test_both_may_be_halves_of_a_joined_projection(device: torch.device) -> None:
    joined = torch.randn(5, 7, 2 * 137, device=device)
    assert_exact(fused_silu_product, exact_product, [joined[..., :137], joined[..., 137:]])


# The interpreter says that exp(1e4) is infinite; it is, and 1 / inf is the sigmoid.
@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
def test_large_inputs_stay_finite(device: torch.device) -> None:
    a = torch.tensor([-1e4, -100.0, 100.0, 1e4], device=device)
    assert_exact(fused_silu_product, exact_product, [a, torch.ones_like(a)])


def test_two_dtypes_are_refused(device: torch.device) -> None:
    a = torch.randn(3, 5, device=device)
    with pytest.raises(ValueError, match="takes one dtype"):
        fused_silu_product(a, a.half())
