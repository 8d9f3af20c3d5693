# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""The gate of SwiGLU, silu(a) b, in one pass each way (Shazeer 2020, eq. 6).

With s = sigmoid(a), y = a s b. As ds/da = s (1 - s),

    da = dy b s (1 + a (1 - s))         db = dy a s

Only a and b are kept for the backward pass, which recomputes s: three reads and two writes.

    a, b, y: (rows, columns)   +------+------+--
                               | tile | tile |     one program a tile
                               +------+------+--
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from contracts import contract
from nn.triton_kernels.selection import check_dtype

# Narrow, so that little of the last tile of a row is wasted: d_ff = 1344 fills 10.5 tiles.
_COLUMNS = 128
_ROWS = 16


@contract
def fused_silu_product(
    a: Float[Tensor, "*batch d_ff"], b: Float[Tensor, "*batch d_ff"]
) -> Float[Tensor, "*batch d_ff"]:
    """Compute `silu(a) * b`: in float32 inside, in the dtype of `a` outside.

    Two dtypes, or one that no kernel does, raise ValueError.
    """
    check_dtype(a.dtype)
    if a.dtype != b.dtype:
        raise ValueError(f"a is {a.dtype} and b is {b.dtype}: the kernel takes one dtype")
    y: Tensor = _gate(a, b)
    return y


@triton.jit
def _tile(num_rows, num_columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    # 64 bits: rows times columns can pass 2^31.
    tiles = tl.cdiv(num_columns, COLUMNS)
    rows = (tl.program_id(0) // tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) % tiles * COLUMNS + tl.arange(0, COLUMNS)
    inside = (rows < num_rows)[:, None] & (columns < num_columns)[None, :]
    return rows[:, None], columns[None, :], inside


@triton.jit
def _forward_kernel(
    a_pointer,
    b_pointer,
    y_pointer,
    num_rows,
    num_columns,
    a_stride,
    b_stride,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, columns, inside = _tile(num_rows, num_columns, ROWS, COLUMNS)
    a = tl.load(a_pointer + rows * a_stride + columns, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(b_pointer + rows * b_stride + columns, mask=inside, other=0.0).to(tl.float32)
    y = a * tl.sigmoid(a) * b
    tl.store(
        y_pointer + rows * num_columns + columns, y.to(y_pointer.dtype.element_ty), mask=inside
    )


@triton.jit
def _backward_kernel(
    grad_y_pointer,
    a_pointer,
    b_pointer,
    grad_a_pointer,
    grad_b_pointer,
    num_rows,
    num_columns,
    grad_y_stride,
    a_stride,
    b_stride,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows, columns, inside = _tile(num_rows, num_columns, ROWS, COLUMNS)
    grad_y = tl.load(grad_y_pointer + rows * grad_y_stride + columns, mask=inside, other=0.0)
    grad_y = grad_y.to(tl.float32)
    a = tl.load(a_pointer + rows * a_stride + columns, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(b_pointer + rows * b_stride + columns, mask=inside, other=0.0).to(tl.float32)
    s = tl.sigmoid(a)
    grad_a = grad_y * b * s * (1.0 + a * (1.0 - s))
    grad_b = grad_y * a * s
    places = rows * num_columns + columns
    tl.store(grad_a_pointer + places, grad_a.to(grad_a_pointer.dtype.element_ty), mask=inside)
    tl.store(grad_b_pointer + places, grad_b.to(grad_b_pointer.dtype.element_ty), mask=inside)


@torch.library.custom_op("groundup::silu_product", mutates_args=())
def _gate(a: Tensor, b: Tensor) -> Tensor:
    y = a.new_empty(a.shape)
    _launch(_forward_kernel, (a, b), (y,))
    return y


@torch.library.custom_op("groundup::silu_product_backward", mutates_args=())
def _differentiate(grad_y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    grad_a, grad_b = a.new_empty(a.shape), b.new_empty(b.shape)
    _launch(_backward_kernel, (grad_y, a, b), (grad_a, grad_b))
    return grad_a, grad_b


@_gate.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape)


@_differentiate.register_fake
def _(grad_y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return a.new_empty(a.shape), b.new_empty(b.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor] = _differentiate(grad_y, *ctx.saved_tensors)
    return gradients


_gate.register_autograd(_backward, setup_context=_save)


def _launch(kernel: Any, sources: tuple[Tensor, ...], results: tuple[Tensor, ...]) -> None:
    # Halves of one joined projection have rows that lie apart: they need no copy.
    rows = [x.reshape(-1, x.shape[-1]) for x in sources]
    rows = [x if x.stride(1) == 1 else x.contiguous() for x in rows]
    num_rows, num_columns = rows[0].shape
    tiles = triton.cdiv(num_rows, _ROWS) * triton.cdiv(num_columns, _COLUMNS)
    with torch.cuda.device_of(sources[0]):
        kernel[(tiles,)](
            *rows,
            *results,
            num_rows,
            num_columns,
            *(x.stride(0) for x in rows),
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
            enable_fp_fusion=True,
        )
