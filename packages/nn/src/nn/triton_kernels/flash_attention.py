# mypy: disable-error-code="no-untyped-call"
"""Attention that never writes its scores to memory (Dao et al. 2022; Dao 2023).

Forward. For one query, with scores s_j = scale q.k_j over the keys j that it may see,

    o = sum_j exp(s_j) v_j / sum_j exp(s_j)

Keys come in blocks, and three running values are enough: the largest score m so far, the total
t = sum exp(s_j - m), and the vector a = sum exp(s_j - m) v_j. When a block raises m to m', the old
t and a are multiplied by exp(m - m') before the block is added. At the end o = a / t. Beside o only
L = m + log t is kept: p_j = exp(s_j - L) is each probability again, in one step.

Backward. With do for the gradient of o,

    dv_j = sum_i p_ij do_i              dp_ij = do_i . v_j
    ds_ij = p_ij (dp_ij - delta_i)      delta_i = sum_j p_ij dp_ij = do_i . o_i
    dq_i = scale sum_j ds_ij k_j        dk_j = scale sum_i ds_ij q_i

delta comes from the softmax's derivative; in its second form it needs no row of probabilities, so
blocks can be worked one by one. The sums over j and those over i run in two kernels, and both
compute p anew from q, k and L: that costs less than reading it, and as no two programs add to one
place, every run gives the same bits.

Outputs and gradients lie in memory as (batch, tokens, heads, d_head): heads join to d_model, and
gradients reach the projections, without a copy.
"""

import math
from typing import Any

import torch
import triton
from jaxtyping import Float
from torch import Tensor

from contracts import contract
from nn.triton_kernels.flash_attention_backward_kernels import grad_kv_kernel, grad_q_kernel
from nn.triton_kernels.flash_attention_kernels import forward_kernel
from nn.triton_kernels.selection import autocast_dtype, check_attention

_LOG2_E = 1.0 / math.log(2.0)


def _tuned(kernel: Any, *settings: tuple[int, int, int, int]) -> Any:
    """Let Triton time a few (BLOCK_Q, BLOCK_K, warps, stages) when it meets a new head size."""
    # Float32 products run on the ordinary units, where large blocks do not fit the registers.
    small = triton.Config({"BLOCK_Q": 32, "BLOCK_K": 16}, num_warps=4, num_stages=2)
    large = [
        triton.Config({"BLOCK_Q": q, "BLOCK_K": k}, num_warps=warps, num_stages=stages)
        for q, k, warps, stages in settings
    ]
    # The interpreter has no clock, and short tests want several blocks.
    configs = [small] if triton.knobs.runtime.interpret else [small, *large]

    def fitting(_: list[Any], arguments: dict[str, Any], **constants: Any) -> list[Any]:
        if arguments["q_pointer"].dtype == torch.float32 or len(configs) == 1:
            return [small]
        # More than 16 rows a warp spill registers, but for small heads.
        rows = 16 if constants["BLOCK_D"] > 32 else 32
        return [each for each in large if each.kwargs["BLOCK_Q"] // each.num_warps <= rows]

    return triton.autotune(
        configs, key=["BLOCK_D", "CAUSAL"], prune_configs_by={"early_config_prune": fitting}
    )(kernel)


_forward = _tuned(forward_kernel, (64, 64, 4, 3), (128, 64, 4, 3), (128, 64, 8, 3))
_grad_q = _tuned(grad_q_kernel, (64, 64, 4, 3), (128, 64, 8, 2))
_grad_kv = _tuned(grad_kv_kernel, (64, 64, 4, 2), (64, 64, 8, 2), (32, 64, 4, 2), (32, 64, 4, 3))


@contract
def flash_attention(
    q: Float[Tensor, "batch heads queries d_head"],
    k: Float[Tensor, "batch kv_heads keys d_head"],
    v: Float[Tensor, "batch kv_heads keys d_head"],
    *,
    causal: bool = True,
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries d_head"]:
    """Average the values by softmax(scale q k^T), of any length, with float32 inside.

    Causal: each query sees the keys up to its own, the last query being level with the last key; a
    query that sees nothing gives zeros. `scale` is 1/sqrt(d_head) if not given. With fewer key
    heads than query heads, neighbouring query heads share one. Under autocast, products are in its
    dtype; float32 is multiplied in full. What the kernels do not do raises ValueError: another
    dtype than bfloat16, float16 or float32, d_head outside 16..128, a scale that is not positive.
    """
    dtype = autocast_dtype(q.device, q.dtype)
    check_attention(dtype, d_head=q.shape[3], heads=q.shape[1], kv_heads=k.shape[1])
    scale = 1.0 / math.sqrt(q.shape[3]) if scale is None else scale
    if not 0.0 < scale < math.inf:
        raise ValueError(f"scale={scale!r} is not a positive number")
    out: Tensor = _attend(q.to(dtype), k.to(dtype), v.to(dtype), causal, scale)[0]
    return out


@torch.library.custom_op("groundup::flash_attention", mutates_args=())
def _attend(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    q, k, v = _with_dense_rows(q, k, v)
    batch, heads, queries, _ = q.shape
    out, log_total = _new_outputs(q)

    def grid(settings: dict[str, Any]) -> tuple[int]:
        return (triton.cdiv(queries, settings["BLOCK_Q"]) * batch * heads,)

    with torch.cuda.device_of(q):
        _forward[grid](
            q,
            k,
            v,
            out,
            log_total,
            *_strides(q, k, v, out),
            *_sizes(q, k),
            scale * _LOG2_E,
            **_constants(q, causal),
        )
    return out, log_total


@torch.library.custom_op("groundup::flash_attention_backward", mutates_args=())
def _differentiate(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    log_total: Tensor,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_out, q, k, v, out = _with_dense_rows(grad_out, q, k, v, out)
    batch, heads, queries, _ = q.shape
    _, kv_heads, keys, _ = k.shape
    grad_q, grad_k, grad_v = _token_major(q), _token_major(k), _token_major(k)
    delta = torch.empty_like(log_total)
    scales = (scale * _LOG2_E, scale)

    def query_grid(settings: dict[str, Any]) -> tuple[int]:
        return (triton.cdiv(queries, settings["BLOCK_Q"]) * batch * heads,)

    def key_grid(settings: dict[str, Any]) -> tuple[int]:
        return (triton.cdiv(keys, settings["BLOCK_K"]) * batch * kv_heads,)

    with torch.cuda.device_of(q):
        # First the queries' kernel: it leaves delta for the other.
        _grad_q[query_grid](
            q,
            k,
            v,
            out,
            grad_out,
            log_total,
            delta,
            grad_q,
            *_strides(q, k, v, out, grad_out, grad_q),
            *_sizes(q, k),
            *scales,
            **_constants(q, causal),
        )
        _grad_kv[key_grid](
            q,
            k,
            v,
            grad_out,
            log_total,
            delta,
            grad_k,
            grad_v,
            *_strides(q, k, v, grad_out, grad_k),
            *_sizes(q, k),
            *scales,
            **_constants(q, causal),
        )
    return grad_q, grad_k, grad_v


@_attend.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    return _new_outputs(q)


@_differentiate.register_fake
def _(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    log_total: Tensor,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return _token_major(q), _token_major(k), _token_major(k)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, ctx.causal, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, *output)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_out: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad_out is None:
        return None, None, None, None, None
    return *_differentiate(grad_out, *ctx.saved_tensors, ctx.causal, ctx.scale), None, None


_attend.register_autograd(_backward, setup_context=_save)


def _new_outputs(q: Tensor) -> tuple[Tensor, Tensor]:
    return _token_major(q), q.new_empty(q.shape[:3], dtype=torch.float32)


def _token_major(x: Tensor) -> Tensor:
    batch, heads, tokens, d_head = x.shape
    return x.new_empty(batch, tokens, heads, d_head).transpose(1, 2)


def _with_dense_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(x if x.stride(-1) == 1 else x.contiguous() for x in tensors)


def _strides(*tensors: Tensor) -> tuple[tuple[int, ...], ...]:
    return tuple(x.stride()[:3] for x in tensors)


def _sizes(q: Tensor, k: Tensor) -> tuple[int, int, int, int]:
    return k.shape[1], q.shape[1] // k.shape[1], q.shape[2], k.shape[2]


def _constants(q: Tensor, causal: bool) -> dict[str, Any]:
    d_head = q.shape[3]
    return {
        "CAUSAL": causal,
        "D": d_head,
        "BLOCK_D": triton.next_power_of_2(d_head),
        "enable_fp_fusion": True,
    }
