# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""RMSNorm in one pass each way (Zhang and Sennrich 2019, eq. 4).

For one row x of D numbers, with gain w,

    r = (mean(x^2) + eps)^(-1/2)        n = r x        y = n w

Differentiating r gives dr/dx_j = -r^3 x_j / D, so with g = dy w, the gradient at n,

    dx = r (g - n mean(g n))            dw = sum over rows of dy n

    x   +--------+   a program holds a few whole rows in registers: x is read once, y written once,
        | rows   |   and r is kept for the backward pass
        +--------+
    dw  many programs, each adding up the rows that it visits, then one sum over the programs:
        no atomics, so every run gives the same bits
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from contracts import contract
from nn.triton_kernels.selection import MAX_NORMED, check_dtype

# Numbers that a program holds at once.
_TILE = 4096


@contract
def fused_rms_norm(
    x: Float[Tensor, "*batch d_model"], weight: Float[Tensor, " d_model"], *, eps: float = 1e-5
) -> Float[Tensor, "*batch d_model"]:
    """Compute `rms_norm`: in float32 inside, in the dtype of `x` outside.

    A dtype that no kernel does, or more than 16,384 columns, raises ValueError.
    """
    check_dtype(x.dtype)
    if x.shape[-1] > MAX_NORMED:
        raise ValueError(f"d_model={x.shape[-1]} is above {MAX_NORMED}, the kernel's widest row")
    y: Tensor = _normalise(x, weight, eps)[0]
    return y


@triton.jit
def _forward_kernel(
    x_pointer,
    weight_pointer,
    y_pointer,
    inverse_rms_pointer,
    num_rows,
    x_stride,
    eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROWS: tl.constexpr,
):
    # 64 bits: rows times columns can pass 2^31.
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, BLOCK_D)
    inside = (rows < num_rows)[:, None] & (columns < D)[None, :]
    x = tl.load(x_pointer + rows[:, None] * x_stride + columns[None, :], mask=inside, other=0.0)
    x = x.to(tl.float32)
    weight = tl.load(weight_pointer + columns, mask=columns < D, other=0.0).to(tl.float32)

    inverse_rms = tl.rsqrt(tl.sum(x * x, 1) / D + eps)
    y = x * inverse_rms[:, None] * weight[None, :]

    y = y.to(y_pointer.dtype.element_ty)
    tl.store(y_pointer + rows[:, None] * D + columns[None, :], y, mask=inside)
    tl.store(inverse_rms_pointer + rows, inverse_rms, mask=rows < num_rows)


@triton.jit
def _backward_kernel(
    grad_y_pointer,
    x_pointer,
    weight_pointer,
    inverse_rms_pointer,
    grad_x_pointer,
    grad_weight_pointer,
    num_rows,
    grad_y_stride,
    x_stride,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROWS: tl.constexpr,
):
    columns = tl.arange(0, BLOCK_D)
    weight = tl.load(weight_pointer + columns, mask=columns < D, other=0.0).to(tl.float32)
    grad_weight = tl.zeros((BLOCK_D,), dtype=tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(num_rows, ROWS), tl.num_programs(0)):
        rows = (block * ROWS + tl.arange(0, ROWS)).to(tl.int64)
        inside = (rows < num_rows)[:, None] & (columns < D)[None, :]
        grad_y = tl.load(
            grad_y_pointer + rows[:, None] * grad_y_stride + columns[None, :],
            mask=inside,
            other=0.0,
        ).to(tl.float32)
        x = tl.load(x_pointer + rows[:, None] * x_stride + columns[None, :], mask=inside, other=0.0)
        inverse_rms = tl.load(inverse_rms_pointer + rows, mask=rows < num_rows, other=0.0)[:, None]
        normed = x.to(tl.float32) * inverse_rms

        grad_weight += tl.sum(grad_y * normed, 0)
        grad_normed = grad_y * weight[None, :]
        mean = tl.sum(grad_normed * normed, 1) / D
        grad_x = inverse_rms * (grad_normed - normed * mean[:, None])

        grad_x = grad_x.to(grad_x_pointer.dtype.element_ty)
        tl.store(grad_x_pointer + rows[:, None] * D + columns[None, :], grad_x, mask=inside)
    tl.store(grad_weight_pointer + tl.program_id(0) * D + columns, grad_weight, mask=columns < D)


@torch.library.custom_op("groundup::rms_norm", mutates_args=())
def _normalise(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    rows = _as_rows(x)
    y, inverse_rms = _new_outputs(x)
    block_d, block_rows, warps = _tile(x.shape[-1])
    with torch.cuda.device_of(x):
        _forward_kernel[(triton.cdiv(rows.shape[0], block_rows),)](
            rows,
            weight.contiguous(),
            y,
            inverse_rms,
            rows.shape[0],
            rows.stride(0),
            eps,
            D=x.shape[-1],
            BLOCK_D=block_d,
            ROWS=block_rows,
            num_warps=warps,
            enable_fp_fusion=True,
        )
    return y, inverse_rms


@torch.library.custom_op("groundup::rms_norm_backward", mutates_args=())
def _differentiate(
    grad_y: Tensor, x: Tensor, weight: Tensor, inverse_rms: Tensor
) -> tuple[Tensor, Tensor]:
    rows, grad_rows = _as_rows(x), _as_rows(grad_y)
    block_d, block_rows, warps = _tile(x.shape[-1])
    programs = min(triton.cdiv(rows.shape[0], block_rows), _programs(x.device))
    grad_x = x.new_empty(x.shape)
    parts = x.new_empty(programs, x.shape[-1], dtype=torch.float32)
    with torch.cuda.device_of(x):
        _backward_kernel[(programs,)](
            grad_rows,
            rows,
            weight.contiguous(),
            inverse_rms,
            grad_x,
            parts,
            rows.shape[0],
            grad_rows.stride(0),
            rows.stride(0),
            D=x.shape[-1],
            BLOCK_D=block_d,
            ROWS=block_rows,
            num_warps=warps,
            enable_fp_fusion=True,
        )
    return grad_x, parts.sum(0).to(weight.dtype)


@_normalise.register_fake
def _(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return _new_outputs(x)


@_differentiate.register_fake
def _(grad_y: Tensor, x: Tensor, weight: Tensor, inverse_rms: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_y: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad_y is None:
        return None, None, None
    return *_differentiate(grad_y, *ctx.saved_tensors), None


_normalise.register_autograd(_backward, setup_context=_save)


def _new_outputs(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape[:-1], dtype=torch.float32)


def _as_rows(x: Tensor) -> Tensor:
    rows = x.reshape(-1, x.shape[-1])
    return rows if rows.stride(1) == 1 else rows.contiguous()


def _tile(d: int) -> tuple[int, int, int]:
    """Return the columns, rows and warps of a program."""
    block_d = triton.next_power_of_2(d)
    return block_d, max(1, _TILE // block_d), min(max(block_d // 1024, 4), 16)


def _programs(device: torch.device) -> int:
    if device.type != "cuda":
        return 3
    return 4 * torch.cuda.get_device_properties(device).multi_processor_count
