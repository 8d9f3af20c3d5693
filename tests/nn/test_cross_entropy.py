"""`cross_entropy` and `perplexity`: against torch and the formula, and at the edges of floats."""

import math

import pytest
import reference
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nn import cross_entropy, perplexity


def example(*batch: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(31)
    logits = 3 * torch.randn(*batch, 11, generator=generator)
    return logits.to(dtype), torch.randint(0, 11, batch, generator=generator)


def test_cross_entropy_equals_the_formula() -> None:
    logits, targets = example(3, 5, dtype=torch.float64)
    expected = reference.cross_entropy(logits.numpy(), targets.numpy())
    assert float(cross_entropy(logits, targets)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("batch", [(), (7,), (3, 5), (2, 3, 5)])
def test_cross_entropy_equals_torch(batch: tuple[int, ...]) -> None:
    logits, targets = example(*batch)
    expected = F.cross_entropy(logits.reshape(-1, 11), targets.reshape(-1))
    torch.testing.assert_close(cross_entropy(logits, targets), expected, rtol=1e-6, atol=1e-6)


def test_cross_entropy_gradient_is_exact() -> None:
    logits, targets = example(5, dtype=torch.float64)
    assert torch.autograd.gradcheck(cross_entropy, (logits.requires_grad_(), targets))


def test_cross_entropy_gradient_equals_torch_in_float32() -> None:
    logits, targets = example(7)
    logits.requires_grad_()
    (ours,) = torch.autograd.grad(cross_entropy(logits, targets), logits)
    (theirs,) = torch.autograd.grad(F.cross_entropy(logits, targets), logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)


def test_cross_entropy_of_bfloat16_is_that_of_the_same_numbers_in_float32() -> None:
    logits, targets = example(3, 5, dtype=torch.bfloat16)
    assert torch.equal(cross_entropy(logits, targets), cross_entropy(logits.float(), targets))


def test_cross_entropy_gradient_has_the_dtype_of_the_logits() -> None:
    logits, targets = example(7, dtype=torch.bfloat16)
    (gradient,) = torch.autograd.grad(cross_entropy(logits.requires_grad_(), targets), logits)
    assert gradient.dtype == torch.bfloat16


def test_cross_entropy_of_equal_logits_is_the_log_of_their_number() -> None:
    loss = cross_entropy(torch.full((3, 11), 7.0), torch.tensor([0, 5, 10]))
    assert float(loss) == pytest.approx(math.log(11), rel=1e-6)


@given(st.floats(-1e4, 1e4, width=32))
def test_cross_entropy_ignores_a_shift(shift: float) -> None:
    logits, targets = example(5)
    shifted = cross_entropy(logits + shift, targets)
    # Numbers near 1e4 are multiples of 2^-10 in float32.
    torch.testing.assert_close(shifted, cross_entropy(logits, targets), rtol=0, atol=2e-3)


def test_cross_entropy_survives_huge_logits() -> None:
    logits = torch.tensor([[1e30, -1e30, 0.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0]))
    torch.autograd.backward(loss)
    assert loss == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_cross_entropy_counts_a_confident_mistake_in_full() -> None:
    assert cross_entropy(torch.tensor([[1000.0, 0.0]]), torch.tensor([1])) == 1000


def test_cross_entropy_skips_masked_logits() -> None:
    logits, targets = example(5)
    targets = targets.clamp(max=6)
    masked = logits.clone()
    masked[:, 7:] = -torch.inf
    masked.requires_grad_()
    loss = cross_entropy(masked, targets)
    torch.autograd.backward(loss)
    torch.testing.assert_close(loss, cross_entropy(logits[:, :7], targets))
    assert masked.grad is not None
    assert (masked.grad[:, 7:] == 0).all()


def test_cross_entropy_does_not_keep_the_logits() -> None:
    # In float64 the plain function is at work: the one for speed keeps them and nothing else.
    logits, targets = example(7, dtype=torch.float64)
    logits.requires_grad_()
    doubled = logits * 2
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()), lambda t: t):
        cross_entropy(doubled, targets)
    assert doubled.data_ptr() not in kept


@pytest.mark.parametrize("target", [11, -1, 99_999])
def test_cross_entropy_names_a_target_outside_the_vocabulary(target: int) -> None:
    logits, targets = example(3, 5)
    targets[1, 2] = target
    with pytest.raises(IndexError, match=rf"^target {target} at place 7 is outside 0\.\.10$"):
        cross_entropy(logits, targets)


def test_perplexity_is_the_exponential_of_the_loss() -> None:
    logits, targets = example(3, 5)
    expected = math.exp(F.cross_entropy(logits.reshape(-1, 11), targets.reshape(-1)))
    assert float(perplexity(logits, targets)) == pytest.approx(expected, rel=1e-5)
