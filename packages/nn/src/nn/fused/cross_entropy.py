# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""The loss from logits, and straight from hidden states: probabilities are nowhere kept.

For one of N tokens with logits z over the vocabulary, target y and L = log sum_i exp(z_i),

    loss = L - z_y          dz_i = (exp(z_i - L) - [i = y]) / N

From logits, L is kept, one number a token, and the backward pass forms dz in one new array.

From hidden states h, with z = W h, dz follows from z as soon as L is known: nothing waits for the
backward pass. Tokens come in slices,

    h (T, d) --product--> z (T, V) --in place--> dz --product--> dh (T, d)
                                                 dz --product--> added to dW (V, d)

so that one slice of the logits exists at a time, and takes the memory of the one before. The
backward pass multiplies by the loss's gradient, and no more. A soft-cap c makes of z the logits
c tanh(z / c), and multiplies dz by the slope 1 - tanh(z / c)^2.

Powers are taken to base 2: 2^x costs a third of e^x. Inside a slice, a few rows are worked at a
time, so that the passes over them find them in the cache.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from contracts import contract
from nn.linear import linear
from nn.soft_cap import checked_cap
from nn.triton_kernels.selection import autocast_dtype

_LOG2_E = 1.0 / math.log(2.0)
# Numbers worked at once.
_BLOCK = 2**19


@contract
def cpu_cross_entropy(
    logits: Float[Tensor, "*batch vocab_size"], targets: Int[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """Compute `cross_entropy` of targets that are known to lie in the vocabulary."""
    loss: Tensor = _CrossEntropy.apply(logits, targets)
    return loss


@contract
def cpu_linear_cross_entropy(
    hidden: Float[Tensor, "*batch d_model"],
    weight: Float[Tensor, "vocab_size d_model"],
    targets: Int[Tensor, "*batch"],
    *,
    soft_cap: int | float | None = None,
    slice_bytes: int = 5 * 2**22,
) -> Float[Tensor, ""]:
    """Compute `linear_cross_entropy` of targets that are known to lie in the vocabulary.

    Logits have the dtype of the product (autocast's, where it is on); everything after them is in
    float32 at least. A slice of them takes at most `slice_bytes`, or one token's. A `soft_cap` or
    `slice_bytes` that is not positive raises ValueError.
    """
    soft_cap = None if soft_cap is None else checked_cap(soft_cap)
    if slice_bytes < 1:
        raise ValueError(f"slice_bytes={slice_bytes} is not positive")
    dtype = autocast_dtype(hidden.device, hidden.dtype)
    differentiable = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    arguments = (
        hidden.reshape(-1, hidden.shape[-1]).to(dtype),
        weight.to(dtype),
        targets.reshape(-1),
        soft_cap,
        slice_bytes // (weight.shape[0] * dtype.itemsize),
        differentiable,
    )
    if torch.compiler.is_compiling():
        loss: Tensor = _evaluate_opaquely(*arguments)[0]
    else:
        loss = _LinearCrossEntropy.apply(*arguments)
    return loss


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        z, y = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
        losses = _new_losses(z)
        log_totals = torch.empty_like(losses)
        for rows in _blocks(z):
            powers = z[rows].to(losses.dtype, copy=True)
            losses[rows], log_totals[rows], _ = _measure(powers, y[rows])
        ctx.save_for_backward(logits, targets, log_totals)
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None]:
        logits, targets, log_totals = ctx.saved_tensors
        z, y = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
        grad_z = torch.empty_like(z, memory_format=torch.contiguous_format)
        share = grad_loss / max(1, z.shape[0])
        for rows in _blocks(z):
            gradient = z[rows].to(log_totals.dtype) - log_totals[rows, None]
            gradient.mul_(_LOG2_E).exp2_().mul_(share)
            grad_z[rows] = _subtract_at(gradient, y[rows], share)
        return grad_z.view(logits.shape), None


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        soft_cap: float | None,
        tokens: int,
        differentiable: bool,
    ) -> Tensor:
        loss, *gradients = _evaluate(hidden, weight, targets, soft_cap, tokens, differentiable)
        ctx.save_for_backward(*gradients)
        ctx.dtype = weight.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        grad_weight = (grad_weight * grad_loss).to(ctx.dtype)
        return grad_hidden * grad_loss, grad_weight, None, None, None, None


def _evaluate(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    soft_cap: float | None,
    tokens: int,
    differentiable: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    losses = _new_losses(hidden)
    grad_hidden, grad_weight = _new_gradients(hidden, weight, differentiable)
    share = 1.0 / max(1, hidden.shape[0])
    # Autocast has had its say in the caller.
    with torch.autocast(hidden.device.type, enabled=False):
        step = _even_slice(hidden.shape[0], tokens)
        for begin in range(0, hidden.shape[0], step):
            part = slice(begin, begin + step)
            h, y = hidden[part], targets[part]
            z = linear(h, weight)
            losses[part] = _read_losses(z, y, soft_cap, share if differentiable else None)
            if differentiable:
                grad_hidden[part] = linear(z, weight.T)
                _add_product(grad_weight, z, h, first=begin == 0)
            del z  # before the next slice asks for memory
    if hidden.shape[0] == 0:
        grad_weight.zero_()
    return losses.mean(), grad_hidden, grad_weight


def _even_slice(tokens: int, at_most: int) -> int:
    """Return the tokens of a slice so that all have as many, if they can in whole sixteens."""
    at_most = max(1, at_most)
    slices = max(1, math.ceil(tokens / at_most))
    even = max(1, math.ceil(tokens / slices))
    return min(even + -even % 16, at_most)


def _add_product(total: Tensor, z: Tensor, h: Tensor, *, first: bool) -> None:
    """Add z^T h to `total`, or put it there if it is the first."""
    if z.dtype == total.dtype:
        total.addmm_(z.T, h, beta=0.0 if first else 1.0)
    elif first:
        total.copy_(z.T @ h)
    else:
        total += z.T @ h


def _read_losses(z: Tensor, targets: Tensor, soft_cap: float | None, share: float | None) -> Tensor:
    """Return the losses of a slice; `z` becomes its gradient, in which each token has a `share`.

    Without a `share` no gradient is wanted, and `z` becomes nothing in particular.
    """
    losses = _new_losses(z)
    for rows in _blocks(z):
        powers = z[rows].to(losses.dtype)
        slope = None if soft_cap is None else _bend(powers, soft_cap)
        losses[rows], _, totals = _measure(powers, targets[rows])
        if share is not None:
            powers.mul_(share / totals)
            gradient = _subtract_at(powers, targets[rows], share)
            z[rows] = gradient if slope is None else gradient.mul_(slope)
    return losses


def _bend(z: Tensor, cap: float) -> Tensor:
    """Make `z` the logits under the cap; return the slope, by which gradients are multiplied."""
    z.div_(cap).tanh_()
    slope = 1.0 - z.square()
    z.mul_(cap)
    return slope


def _measure(z: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return losses, log totals and, as a column, totals; `z` becomes exp(z - its largest)."""
    chosen = z.gather(1, targets.unsqueeze(1)).squeeze(1)
    largest = z.amax(1, keepdim=True)
    totals = z.sub_(largest).mul_(_LOG2_E).exp2_().sum(1, keepdim=True)
    log_totals = totals.log().add_(largest).squeeze(1)
    return log_totals - chosen, log_totals, totals


def _subtract_at(gradient: Tensor, targets: Tensor, share: Tensor | float) -> Tensor:
    """Subtract `share` from each row of `gradient`, in place, at its target."""
    places = targets.unsqueeze(1)
    return gradient.scatter_(1, places, gradient.gather(1, places) - share)


# Opaque to the compiler, which would unroll the loops. In eager mode these would work as well, but
# the first call of one loads the compiler.
_evaluate_opaquely = torch.library.custom_op(
    "groundup::sliced_linear_cross_entropy", mutates_args=()
)(_evaluate)


@_evaluate_opaquely.register_fake
def _(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    soft_cap: float | None,
    tokens: int,
    differentiable: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return _new_losses(hidden).mean(), *_new_gradients(hidden, weight, differentiable)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output[1:])
    ctx.dtype = inputs[1].dtype


def _backward(ctx: Any, grad_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    grad_hidden, grad_weight = ctx.saved_tensors
    grad_weight = (grad_weight * grad_loss).to(ctx.dtype)
    return grad_hidden * grad_loss, grad_weight, None, None, None, None


_evaluate_opaquely.register_autograd(_backward, setup_context=_save)


def _new_losses(rows: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0], dtype=torch.promote_types(rows.dtype, torch.float32))


def _new_gradients(hidden: Tensor, weight: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(weight.dtype, torch.float32)
    if not wanted:
        return hidden.new_empty(0), weight.new_empty(0, dtype=wide)
    return hidden.new_empty(hidden.shape), weight.new_empty(weight.shape, dtype=wide)


def _blocks(z: Tensor) -> Iterator[slice]:
    """Yield rows that together hold about `_BLOCK` numbers."""
    step = max(1, _BLOCK // z.shape[1])
    for begin in range(0, z.shape[0], step):
        yield slice(begin, begin + step)
