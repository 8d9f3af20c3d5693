# mypy: disable-error-code="no-untyped-call"
"""Slices and edges of the loss for speed."""

import pytest
import torch
from kernel_accuracy import assert_exact
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

import nn.fused.cross_entropy as fused
from nn import cross_entropy, linear, linear_cross_entropy
from nn.fused.cross_entropy import cpu_cross_entropy, cpu_linear_cross_entropy


@pytest.mark.parametrize("slice_bytes", [1, 3 * 11 * 4, 7 * 11 * 4, 2**20])
@pytest.mark.parametrize("block", [1, 2 * 11, 2**20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slices_change_nothing(
    monkeypatch: pytest.MonkeyPatch, slice_bytes: int, block: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(fused, "_BLOCK", block)
    targets = torch.randint(11, (13,))
    assert_exact(
        lambda h, w: cpu_linear_cross_entropy(h, w, targets, slice_bytes=slice_bytes),
        lambda h, w: linear_cross_entropy(h, w, targets),
        [torch.randn(13, 5, dtype=dtype), torch.randn(11, 5, dtype=dtype)],
    )


@pytest.mark.parametrize(
    ("tokens", "at_most", "slices"),
    [
        (2048, 524, [512] * 4),
        (2048, 104, [104] * 19 + [72]),  # sixteens are too many
        (100, 33, [32] * 3 + [4]),
        (17, 16, [16, 1]),
        (5, 1000, [5]),
        (3, 0, [1] * 3),  # one token's logits are more than may be kept
        (0, 7, []),
    ],
)
def test_slices_are_even(tokens: int, at_most: int, slices: list[int]) -> None:
    step = fused._even_slice(tokens, at_most)
    assert [min(step, tokens - begin) for begin in range(0, tokens, step)] == slices


def test_no_tokens_have_gradients_of_zero() -> None:
    hidden = torch.empty(0, 5, requires_grad=True)
    weight = torch.randn(11, 5, requires_grad=True)
    torch.empty(2**8).fill_(3.0)  # leaves what the gradient may find in its memory
    cpu_linear_cross_entropy(hidden, weight, torch.empty(0, dtype=torch.int64)).backward()
    assert weight.grad is not None
    assert hidden.grad is not None
    assert torch.equal(weight.grad, torch.zeros(11, 5))


def test_a_gradient_of_the_loss_other_than_one_scales_the_others() -> None:
    hidden, weight = torch.randn(7, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    loss = cpu_linear_cross_entropy(hidden, weight, torch.arange(7))
    once = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    thrice = torch.autograd.grad(3.0 * loss, (hidden, weight))
    for one, three in zip(once, thrice, strict=True):
        torch.testing.assert_close(three, 3.0 * one, rtol=1e-6, atol=0)


def test_without_gradients_only_the_loss_is_computed() -> None:
    hidden, weight = torch.randn(7, 5), torch.randn(11, 5, requires_grad=True)
    expected = cpu_linear_cross_entropy(hidden, weight, torch.arange(7))
    with torch.no_grad():
        loss = cpu_linear_cross_entropy(hidden, weight, torch.arange(7))
    assert loss.grad_fn is None
    assert torch.equal(loss, expected)


def test_no_more_than_a_slice_of_the_logits_is_kept() -> None:
    kept = []
    hidden, weight = torch.randn(97, 3), torch.randn(53, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()), lambda t: t):
        cpu_linear_cross_entropy(hidden, weight, torch.zeros(97, dtype=torch.int64))
    assert sum(kept) == hidden.numel() + weight.numel()


@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_large_logits_neither_overflow_nor_vanish(shift: float) -> None:
    logits, targets = torch.randn(5, 7), torch.arange(5)
    torch.testing.assert_close(
        cpu_cross_entropy(logits + shift, targets),
        cross_entropy(logits, targets),
        rtol=0,
        atol=2e-3,
    )


def test_a_logit_of_minus_infinity_is_a_token_that_cannot_come() -> None:
    logits, targets = torch.randn(5, 7), torch.arange(5)
    masked = torch.cat((logits, torch.full((5, 2), -torch.inf)), dim=1).requires_grad_()
    loss = cpu_cross_entropy(masked, targets)
    torch.testing.assert_close(loss, cross_entropy(logits, targets))
    (gradient,) = torch.autograd.grad(loss, masked)
    assert (gradient[:, 7:] == 0).all()


def test_a_soft_cap_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match=r"soft_cap=0\.0 is not a positive number"):
        cpu_linear_cross_entropy(
            torch.zeros(3, 5), torch.zeros(7, 5), torch.zeros(3).long(), soft_cap=0.0
        )


def test_a_slice_of_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="slice_bytes=0 is not positive"):
        cpu_linear_cross_entropy(
            torch.zeros(3, 5), torch.zeros(7, 5), torch.zeros(3).long(), slice_bytes=0
        )


@pytest.mark.parametrize("soft_cap", [None, 3.0])
def test_one_slice_of_the_logits_exists_at_a_time(
    monkeypatch: pytest.MonkeyPatch, soft_cap: float | None
) -> None:
    slices: list[StorageWeakRef] = []

    def watch(x: Tensor, weight: Tensor) -> Tensor:
        y = linear(x, weight)
        if y.shape[-1] == 7:  # logits
            assert all(each.expired() for each in slices)
            slices.append(StorageWeakRef(y.untyped_storage()))
        return y

    monkeypatch.setattr("nn.fused.cross_entropy.linear", watch)
    hidden, weight = torch.randn(3, 5, requires_grad=True), torch.randn(7, 5, requires_grad=True)
    targets = torch.tensor([1, 0, 6])
    cpu_linear_cross_entropy(hidden, weight, targets, soft_cap=soft_cap, slice_bytes=1)
    assert len(slices) == 3
