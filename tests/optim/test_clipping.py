"""Clipping against `torch.nn.utils.clip_grad_norm_`, and its properties."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Parameter

from optim import clip_grad_norm

SHAPES = [(3, 5), (7,), (), (2, 11, 13)]


def with_gradients(scale: float, dtype: torch.dtype = torch.float32) -> list[Parameter]:
    generator = torch.Generator().manual_seed(23)
    params = []
    for shape in SHAPES:
        parameter = Parameter(torch.zeros(shape, dtype=dtype))
        parameter.grad = (scale * torch.randn(shape, generator=generator)).to(dtype)
        params.append(parameter)
    return params


def gradients(params: list[Parameter]) -> list[torch.Tensor]:
    return [p.grad for p in params if p.grad is not None]


def joint_norm(params: list[Parameter]) -> float:
    return float(torch.cat([g.double().reshape(-1) for g in gradients(params)]).norm())


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 1e3])
def test_clipping_equals_torch(max_norm: float) -> None:
    ours, theirs = with_gradients(1.0), with_gradients(1.0)
    norm = clip_grad_norm(ours, max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(norm, expected, rtol=1e-6, atol=0)
    for a, b in zip(gradients(ours), gradients(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=0)


@given(
    st.floats(1e-6, 1e6),
    st.floats(0, 1e6),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
)
def test_clipping_never_grows_a_norm(scale: float, max_norm: float, dtype: torch.dtype) -> None:
    params = with_gradients(scale, dtype)
    before = joint_norm(params)
    clip_grad_norm(params, max_norm)
    assert joint_norm(params) <= before


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e3))
def test_clipped_norm_is_at_most_the_maximum(scale: float, max_norm: float) -> None:
    params = with_gradients(scale, torch.float64)
    clip_grad_norm(params, max_norm)
    assert joint_norm(params) <= max_norm * (1 + 1e-9)


def test_gradients_within_the_norm_are_untouched() -> None:
    params = with_gradients(0.01)
    clip_grad_norm(params, 100.0)
    for a, b in zip(gradients(params), gradients(with_gradients(0.01)), strict=True):
        assert torch.equal(a, b)


def test_clipping_works_in_place() -> None:
    params = with_gradients(5.0)
    held = gradients(params)
    clip_grad_norm(params, 0.5)
    assert all(a is b for a, b in zip(held, gradients(params), strict=True))
    assert joint_norm(params) == pytest.approx(0.5, rel=1e-5)


def test_missing_gradients_are_skipped() -> None:
    params = with_gradients(5.0)
    params[1].grad = None
    expected = joint_norm(params)
    assert clip_grad_norm(params, 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_no_gradient_at_all_has_norm_zero() -> None:
    assert clip_grad_norm([Parameter(torch.ones(3))], 1.0).item() == 0.0


def test_infinite_maximum_only_measures() -> None:
    params = with_gradients(1e4)
    assert clip_grad_norm(params, float("inf")).item() == pytest.approx(joint_norm(params))
    for a, b in zip(gradients(params), gradients(with_gradients(1e4)), strict=True):
        assert torch.equal(a, b)


def test_one_tensor_and_a_generator_are_accepted() -> None:
    params = with_gradients(1.0)
    single = clip_grad_norm(params[0], float("inf"))
    assert single.item() == pytest.approx(joint_norm(params[:1]), rel=1e-6)
    clip_grad_norm((p for p in params), 0.5)
    assert joint_norm(params) == pytest.approx(0.5, rel=1e-5)


def test_norm_of_float16_gradients_does_not_overflow() -> None:
    """512 elements of 60000: a sum of squares far above the largest float16, 65504."""
    parameter = Parameter(torch.zeros(512, dtype=torch.float16))
    parameter.grad = torch.full((512,), 6e4, dtype=torch.float16)
    expected = parameter.grad.double().norm().item()
    assert clip_grad_norm([parameter], 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_norm_of_many_elements_is_accurate_to_float32() -> None:
    parameter = Parameter(torch.empty(5_000_011))
    parameter.grad = torch.randn(5_000_011, generator=torch.Generator().manual_seed(5))
    expected = parameter.grad.double().norm().item()
    assert clip_grad_norm([parameter], float("inf")).item() == pytest.approx(expected, rel=1e-5)


def test_nan_shows_in_the_norm() -> None:
    params = with_gradients(1.0)
    gradients(params)[1][2] = float("nan")
    assert clip_grad_norm(params, 1.0).isnan()


def test_gradients_of_two_dtypes_have_one_norm() -> None:
    params = with_gradients(1.0)[:2] + with_gradients(1.0, torch.bfloat16)[2:]
    expected = joint_norm(params)
    assert clip_grad_norm(params, 0.5).item() == pytest.approx(expected, rel=1e-6)
    assert joint_norm(params) == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("max_norm", [-1.0, float("nan")])
def test_bad_maximum_is_refused(max_norm: float) -> None:
    with pytest.raises(ValueError, match=f"^max_l2_norm={max_norm} must be at least 0$"):
        clip_grad_norm([], max_norm)


def test_sparse_gradient_is_refused() -> None:
    parameter = Parameter(torch.ones(5, 2))
    parameter.grad = torch.ones(5, 2).to_sparse()
    with pytest.raises(ValueError, match="dense gradients"):
        clip_grad_norm([parameter], 1.0)


def test_a_millionth_is_added_to_the_norm() -> None:
    parameter = Parameter(torch.zeros(2, dtype=torch.float64))
    parameter.grad = torch.tensor([3e-6, 4e-6], dtype=torch.float64)
    clip_grad_norm([parameter], 1e-6)
    exact = torch.tensor([3e-6, 4e-6], dtype=torch.float64) / 6
    torch.testing.assert_close(parameter.grad, exact, rtol=1e-12, atol=0)
