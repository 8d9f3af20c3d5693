# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""The loss straight from the hidden states: the logits are never all in memory.

For one token with hidden state h, logits z = W h over V words, target y and L = log sum_i exp(z_i),

    loss = L - z_y          dz_i = exp(z_i - L) - [i = y]
    dh = W^T dz             dW = sum over tokens of dz h^T

dz follows from z as soon as L is known, so nothing waits for the backward pass. Tokens come in
chunks, and each chunk goes through

    h (T, D) --product--> z (T, V) --one kernel--> loss (T), dz in the place of z
                                      dz --product--> dh (T, D)
                                      dz --product--> added to dW (V, D), in float32

so that at any time one chunk of T x V numbers exists. The gradients are kept in place of the
logits, unscaled; the backward pass multiplies them by the gradient of the mean, and no more.
With a soft cap c, z = c tanh(W h / c), and dz is multiplied by 1 - (z / c)^2 (Gemma 2, 2024).
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from contracts import contract
from nn.soft_cap import checked_cap
from nn.triton_kernels.selection import autocast_dtype, check_dtype

_BLOCK = 4096


@contract
def fused_linear_cross_entropy(
    hidden: Float[Tensor, "*batch d_model"],
    weight: Float[Tensor, "vocab_size d_model"],
    targets: Int[Tensor, "*batch"],
    *,
    soft_cap: int | float | None = None,
    chunk_bytes: int = 2**27,
) -> Float[Tensor, ""]:
    """Average -log softmax(weight hidden)[target] over all positions, in nats and float32.

    Logits have the dtype of the product (autocast's, where it is on); everything after them is
    float32. A chunk's logits take at most `chunk_bytes`, or one token's. A target outside the
    vocabulary makes the loss NaN, since to raise would be to wait for the device. A dtype that no
    kernel does, a `soft_cap` or `chunk_bytes` that is not positive, raise ValueError.
    """
    dtype = autocast_dtype(hidden.device, hidden.dtype)
    check_dtype(dtype)
    soft_cap = None if soft_cap is None else checked_cap(soft_cap)
    if chunk_bytes < 1:
        raise ValueError(f"chunk_bytes={chunk_bytes} is not positive")
    differentiable = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    loss: Tensor = _evaluate(
        hidden.reshape(-1, hidden.shape[-1]).to(dtype),
        weight.to(dtype),
        targets.reshape(-1),
        soft_cap or 0.0,
        _tokens_per_chunk(targets.numel(), weight.shape[0] * dtype.itemsize, chunk_bytes),
        differentiable,
    )[0]
    return loss


def _tokens_per_chunk(tokens: int, bytes_per_token: int, chunk_bytes: int) -> int:
    # Chunks of one size, a multiple of what matrix products like.
    most = max(1, chunk_bytes // bytes_per_token)
    chunks = max(1, -(-tokens // most))
    size = -(-tokens // chunks)
    return min(most, -(-size // 128) * 128)


@triton.jit
def _cap(z, soft_cap, CAPPED: tl.constexpr):
    if CAPPED:
        z = soft_cap * (2.0 * tl.sigmoid(2.0 * z / soft_cap) - 1.0)
    return z


@triton.jit
def _kernel(
    logits_pointer,
    targets_pointer,
    losses_pointer,
    vocab_size,
    soft_cap,
    CAPPED: tl.constexpr,
    DIFFERENTIABLE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One program a token. 64 bits: tokens times words can pass 2^31.
    token = tl.program_id(0).to(tl.int64)
    row = logits_pointer + token * vocab_size
    target = tl.load(targets_pointer + token)
    known = (target >= 0) & (target < vocab_size)
    target_logit = tl.load(row + target, mask=known, other=float("nan")).to(tl.float32)
    target_logit = _cap(target_logit, soft_cap, CAPPED)

    largest = -float("inf")
    total = 0.0
    for start in range(0, vocab_size, BLOCK):
        words = start + tl.arange(0, BLOCK)
        z = tl.load(row + words, mask=words < vocab_size, other=-float("inf")).to(tl.float32)
        z = tl.where(words < vocab_size, _cap(z, soft_cap, CAPPED), -float("inf"))
        grown = tl.maximum(largest, tl.max(z))
        shift = tl.where(grown == -float("inf"), 0.0, grown)
        total = total * tl.exp(largest - shift) + tl.sum(tl.exp(z - shift))
        largest = grown
    log_total = largest + tl.log(total)
    tl.store(losses_pointer + token, log_total - target_logit)

    if DIFFERENTIABLE:
        for start in range(0, vocab_size, BLOCK):
            words = start + tl.arange(0, BLOCK)
            z = tl.load(row + words, mask=words < vocab_size, other=0.0).to(tl.float32)
            z = _cap(z, soft_cap, CAPPED)
            dz = tl.exp(z - log_total) - tl.where(words == target, 1.0, 0.0)
            if CAPPED:
                dz = dz * (1.0 - (z / soft_cap) * (z / soft_cap))
            tl.store(row + words, dz.to(logits_pointer.dtype.element_ty), mask=words < vocab_size)


@torch.library.custom_op("groundup::linear_cross_entropy", mutates_args=())
def _evaluate(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    soft_cap: float,
    chunk: int,
    differentiable: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    losses = hidden.new_empty(hidden.shape[0], dtype=torch.float32)
    grad_hidden, grad_weight = _new_gradients(hidden, weight, differentiable)
    grad_weight.zero_()
    targets = targets.contiguous()
    # Autocast has had its say in the caller.
    with torch.autocast(hidden.device.type, enabled=False), torch.cuda.device_of(hidden):
        for start in range(0, hidden.shape[0], chunk):
            part = slice(start, start + chunk)
            logits = hidden[part] @ weight.T
            _kernel[(logits.shape[0],)](
                logits,
                targets[part],
                losses[part],
                weight.shape[0],
                soft_cap,
                CAPPED=soft_cap > 0.0,
                DIFFERENTIABLE=differentiable,
                BLOCK=_BLOCK,
                num_warps=8,
                enable_fp_fusion=True,
            )
            if differentiable:
                torch.mm(logits, weight, out=grad_hidden[part])
                grad_weight += logits.T @ hidden[part]
    return losses.mean(), grad_hidden, grad_weight


@_evaluate.register_fake
def _(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    soft_cap: float,
    chunk: int,
    differentiable: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    loss = hidden.new_empty((), dtype=torch.float32)
    return loss, *_new_gradients(hidden, weight, differentiable)


def _new_gradients(hidden: Tensor, weight: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    if not wanted:
        return hidden.new_empty(0), weight.new_empty(0, dtype=torch.float32)
    return hidden.new_empty(hidden.shape), weight.new_empty(weight.shape, dtype=torch.float32)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output[1:])
    ctx.dtype = inputs[1].dtype
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_loss: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad_loss is None:
        return None, None, None, None, None, None
    grad_hidden, grad_weight = ctx.saved_tensors
    scale = grad_loss / grad_hidden.shape[0]
    # In float32: a rounded scale would be wrong in the same direction for every number.
    grad_hidden = (grad_hidden.float() * scale).to(grad_hidden.dtype)
    return grad_hidden, (grad_weight * scale).to(ctx.dtype), None, None, None, None


_evaluate.register_autograd(_backward, setup_context=_save)
