"""`softmax`: against torch and the formula, and what holds of every distribution."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nn import softmax

ROWS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=3, max_side=7),
    elements=st.floats(-50, 50, width=32),
)


def test_softmax_equals_the_formula() -> None:
    x = torch.randn(3, 5, 7, dtype=torch.float64)
    expected = torch.from_numpy(reference.softmax(x.numpy()))
    torch.testing.assert_close(softmax(x), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_softmax_equals_torch(dim: int, dtype: torch.dtype) -> None:
    x = 5 * torch.randn(3, 5, 7, dtype=dtype)
    torch.testing.assert_close(softmax(x, dim), torch.softmax(x, dim))


def test_softmax_gradient_is_exact() -> None:
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: softmax(x, 0), (x,))


def test_softmax_gradient_equals_torch_in_float32() -> None:
    x = torch.randn(5, 7, requires_grad=True)
    weight = torch.randn(5, 7)
    (ours,) = torch.autograd.grad((softmax(x) * weight).sum(), x)
    (theirs,) = torch.autograd.grad((torch.softmax(x, -1) * weight).sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@given(ROWS)
def test_softmax_sums_to_one(x: np.ndarray) -> None:
    sums = softmax(torch.from_numpy(x)).sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-6)


@given(ROWS, st.floats(-100, 100, width=32))
def test_softmax_ignores_a_shift(x: np.ndarray, shift: float) -> None:
    rows = torch.from_numpy(x)
    # The shifted sum is rounded to a multiple of 2^-16, which is what the tolerance is for.
    torch.testing.assert_close(softmax(rows + shift), softmax(rows), rtol=1e-4, atol=1e-6)


def test_softmax_survives_huge_numbers() -> None:
    x = torch.tensor([1e30, 1e30, -1e30])
    assert softmax(x).tolist() == [0.5, 0.5, 0.0]


def test_softmax_gives_a_masked_entry_nothing() -> None:
    x = torch.tensor([0.0, -torch.inf, 0.0])
    assert softmax(x).tolist() == [0.5, 0.0, 0.5]


def test_softmax_leaves_its_argument_alone() -> None:
    x = torch.randn(7)
    before = x.clone()
    softmax(x)
    assert torch.equal(x, before)
