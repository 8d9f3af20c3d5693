"""SiLU and the feed-forward networks: against torch and the formula, and their widths."""

import pytest
import reference
import torch
import torch.nn.functional as F

from nn import SiLUFFN, SwiGLU, silu, swiglu
from nn.ffn import swiglu_d_ff


def test_silu_equals_the_formula() -> None:
    x = torch.linspace(-20, 20, 101, dtype=torch.float64)
    expected = torch.from_numpy(reference.silu(x.numpy()))
    torch.testing.assert_close(silu(x), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_silu_equals_torch(dtype: torch.dtype) -> None:
    x = 5 * torch.randn(3, 5, 7, dtype=dtype)
    torch.testing.assert_close(silu(x), F.silu(x))


def test_silu_survives_numbers_whose_exponential_overflows() -> None:
    assert silu(torch.tensor([-1e4, 1e4])).tolist() == [0.0, 1e4]


def test_swiglu_equals_the_formula() -> None:
    x, w1, w2, w3 = (
        torch.randn(shape, dtype=torch.float64) for shape in ((3, 5), (11, 5), (5, 11), (11, 5))
    )
    expected = torch.from_numpy(reference.swiglu(x.numpy(), w1.numpy(), w2.numpy(), w3.numpy()))
    torch.testing.assert_close(swiglu(x, w1, w2, w3), expected, rtol=1e-12, atol=1e-12)


def test_swiglu_gradient_is_exact() -> None:
    shapes = ((2, 3), (5, 3), (3, 5), (5, 3))
    arguments = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(swiglu, arguments)


def test_swiglu_module_applies_its_three_matrices() -> None:
    ffn, x = SwiGLU(5, 11), torch.randn(2, 3, 5)
    expected = swiglu(x, ffn.w1.weight, ffn.w2.weight, ffn.w3.weight)
    assert torch.equal(ffn(x), expected)


def test_silu_ffn_has_no_gate() -> None:
    ffn, x = SiLUFFN(5, 11), torch.randn(2, 3, 5)
    expected = F.linear(F.silu(F.linear(x, ffn.w1.weight)), ffn.w2.weight)
    torch.testing.assert_close(ffn(x), expected)
    assert sorted(ffn.state_dict()) == ["w1.weight", "w2.weight"]


@pytest.mark.parametrize(
    ("d_model", "d_ff"), [(24, 64), (25, 128), (192, 512), (512, 1408), (1600, 4288)]
)
def test_swiglu_width_is_rounded_up_to_a_multiple_of_64(d_model: int, d_ff: int) -> None:
    assert swiglu_d_ff(d_model) == d_ff


def test_silu_ffn_is_four_times_as_wide_as_the_model() -> None:
    assert SiLUFFN(7).w1.weight.shape == (28, 7)
