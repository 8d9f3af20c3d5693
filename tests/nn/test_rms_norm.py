"""`rms_norm`: against torch and the formula, its invariance, and float32 inside."""

import pytest
import reference
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from nn import RMSNorm, rms_norm


def test_rms_norm_equals_the_formula() -> None:
    x, weight = torch.randn(3, 5, 7, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    expected = torch.from_numpy(reference.rms_norm(x.numpy(), weight.numpy(), 1e-2))
    torch.testing.assert_close(rms_norm(x, weight, eps=1e-2), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3, 5)])
def test_rms_norm_equals_torch(batch: tuple[int, ...]) -> None:
    x, weight = torch.randn(*batch, 7), torch.randn(7)
    expected = F.rms_norm(x, (7,), weight, eps=1e-5)
    torch.testing.assert_close(rms_norm(x, weight), expected, rtol=1e-6, atol=1e-6)


def test_rms_norm_gradient_is_exact() -> None:
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, eps=1e-2), (x, weight))


@given(st.floats(0.125, 512), st.integers(1, 13))
def test_rms_norm_ignores_the_scale_of_its_input(scale: float, d_model: int) -> None:
    x = torch.randn(5, d_model, generator=torch.Generator().manual_seed(d_model)) + 2
    weight = torch.ones(d_model)
    torch.testing.assert_close(
        rms_norm(scale * x, weight, eps=0.0), rms_norm(x, weight, eps=0.0), rtol=1e-5, atol=1e-6
    )


@given(st.integers(1, 13))
def test_rms_norm_with_unit_gain_gives_unit_root_mean_square(d_model: int) -> None:
    x = torch.randn(5, d_model, generator=torch.Generator().manual_seed(d_model))
    mean_square = rms_norm(x, torch.ones(d_model), eps=0.0).square().mean(-1)
    torch.testing.assert_close(mean_square, torch.ones(5), rtol=1e-5, atol=0)


def test_rms_norm_of_bfloat16_rounds_only_at_the_end() -> None:
    x, weight = torch.randn(3, 257, dtype=torch.bfloat16), torch.randn(257)
    assert torch.equal(rms_norm(x, weight), rms_norm(x.float(), weight).to(torch.bfloat16))


def test_rms_norm_does_not_overflow_in_float16() -> None:
    x = torch.full((3, 7), 300.0, dtype=torch.float16)
    torch.testing.assert_close(rms_norm(x, torch.ones(7)), torch.ones(3, 7, dtype=torch.float16))


def test_rms_norm_of_zeros_is_zero() -> None:
    assert (rms_norm(torch.zeros(3, 7), torch.ones(7)) == 0).all()


def test_rms_norm_module_uses_its_eps() -> None:
    x = torch.randn(3, 7)
    assert torch.equal(RMSNorm(7, eps=0.5)(x), rms_norm(x, torch.ones(7), eps=0.5))
