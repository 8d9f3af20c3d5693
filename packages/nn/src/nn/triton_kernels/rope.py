# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""Rotary positions for queries and keys in one launch (Su et al. 2021, eq. 34).

    (a, b)  ->  (a cos - b sin, b cos + a sin)        for the pair (2i, 2i+1) of a head at a token

The gradient of a rotation is the rotation back: the same kernel with -sin.

    memory:   token 0: head 0, head 1, ..  | token 1: head 0, head 1, ..
    a program takes consecutive rows of that order: first those of all queries, then those of all
    keys. Reads go by strides, since heads are usually a view; results are written in this order.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from contracts import contract
from nn.triton_kernels.selection import check_dtype

# Numbers that a program holds at once.
_TILE = 4096


@contract
def fused_rope(
    q: Float[Tensor, "batch heads seq d_k"],
    k: Float[Tensor, "batch kv_heads seq d_k"],
    cos: Float[Tensor, "seq half_d_k"],
    sin: Float[Tensor, "seq half_d_k"],
) -> tuple[Float[Tensor, "batch heads seq d_k"], Float[Tensor, "batch kv_heads seq d_k"]]:
    """Turn each pair (2i, 2i+1) of `q` and of `k` by the angle of its token, in float32 inside.

    Tables that are not half as wide as the heads, or a dtype that no kernel does, raise ValueError.
    """
    for x in (q, k):
        check_dtype(x.dtype)
    if 2 * cos.shape[-1] != q.shape[-1]:
        raise ValueError(f"tables of width {cos.shape[-1]} do not turn heads of {q.shape[-1]}")
    turned: tuple[Tensor, Tensor] = _rotate(q, k, cos, sin, False)
    return turned


@triton.jit
def _turn(
    x_pointer,
    y_pointer,
    cos_pointer,
    sin_pointer,
    strides,
    block,
    heads,
    seq,
    num_rows,
    BACK: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROWS: tl.constexpr,
):
    rows = block * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, BLOCK_D)
    pairs = tl.arange(0, BLOCK_D // 2)
    head = rows % heads
    token = rows // heads % seq
    # 64 bits: batch times stride can pass 2^31.
    batch = (rows // heads // seq).to(tl.int64)
    inside = (rows < num_rows)[:, None] & (columns < D)[None, :]
    inside_pairs = (rows < num_rows)[:, None] & (pairs < D // 2)[None, :]

    starts = batch * strides[0] + head * strides[1] + token * strides[2]
    x = tl.load(x_pointer + starts[:, None] + columns[None, :], mask=inside, other=0.0)
    angles = token[:, None] * (D // 2) + pairs[None, :]
    cos = tl.load(cos_pointer + angles, mask=inside_pairs, other=0.0).to(tl.float32)
    sin = tl.load(sin_pointer + angles, mask=inside_pairs, other=0.0).to(tl.float32)
    if BACK:
        sin = -sin

    a, b = tl.split(tl.reshape(x.to(tl.float32), (ROWS, BLOCK_D // 2, 2)))
    y = tl.reshape(tl.join(a * cos - b * sin, b * cos + a * sin), (ROWS, BLOCK_D))
    places = rows.to(tl.int64)[:, None] * D + columns[None, :]
    tl.store(y_pointer + places, y.to(y_pointer.dtype.element_ty), mask=inside)


@triton.jit
def _kernel(
    q_pointer,
    k_pointer,
    turned_q_pointer,
    turned_k_pointer,
    cos_pointer,
    sin_pointer,
    q_strides,
    k_strides,
    batch,
    heads,
    kv_heads,
    seq,
    BACK: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROWS: tl.constexpr,
):
    block = tl.program_id(0)
    q_rows = batch * seq * heads
    q_blocks = tl.cdiv(q_rows, ROWS)
    if block < q_blocks:
        _turn(
            q_pointer,
            turned_q_pointer,
            cos_pointer,
            sin_pointer,
            q_strides,
            block,
            heads,
            seq,
            q_rows,
            BACK,
            D,
            BLOCK_D,
            ROWS,
        )
    else:
        _turn(
            k_pointer,
            turned_k_pointer,
            cos_pointer,
            sin_pointer,
            k_strides,
            block - q_blocks,
            kv_heads,
            seq,
            batch * seq * kv_heads,
            BACK,
            D,
            BLOCK_D,
            ROWS,
        )


@torch.library.custom_op("groundup::rope", mutates_args=())
def _rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, back: bool) -> tuple[Tensor, Tensor]:
    q, k = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k))
    turned_q, turned_k = _token_major(q), _token_major(k)
    batch, heads, seq, d_k = q.shape
    kv_heads = k.shape[1]
    block_d = triton.next_power_of_2(d_k)
    block_rows = max(1, _TILE // block_d)
    blocks = sum(triton.cdiv(batch * seq * each, block_rows) for each in (heads, kv_heads))
    with torch.cuda.device_of(q):
        _kernel[(blocks,)](
            q,
            k,
            turned_q,
            turned_k,
            cos.contiguous(),
            sin.contiguous(),
            q.stride()[:3],
            k.stride()[:3],
            batch,
            heads,
            kv_heads,
            seq,
            BACK=back,
            D=d_k,
            BLOCK_D=block_d,
            ROWS=block_rows,
            enable_fp_fusion=True,
        )
    return turned_q, turned_k


@_rotate.register_fake
def _(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, back: bool) -> tuple[Tensor, Tensor]:
    return _token_major(q), _token_major(k)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[2], inputs[3])
    ctx.back = inputs[4]


def _backward(ctx: Any, grad_q: Tensor, grad_k: Tensor) -> tuple[Tensor | None, ...]:
    return *_rotate(grad_q, grad_k, *ctx.saved_tensors, not ctx.back), None, None, None


_rotate.register_autograd(_backward, setup_context=_save)


def _token_major(x: Tensor) -> Tensor:
    batch, heads, seq, d_k = x.shape
    return x.new_empty(batch, seq, heads, d_k).transpose(1, 2)
