# mypy: disable-error-code="no-untyped-call"
"""The gate of SwiGLU, silu(a) b, and its gradient (Shazeer 2020, eq. 6).

With s = sigmoid(a) and u = silu(a) = a s, y = u b. As ds/da = s (1 - s),

    da = dy b (s + u (1 - s))           db = dy u

Only a and b are kept; s is computed again. The backward pass works a few rows at a time, so that
what lies between its three inputs and two results stays in the cache.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from contracts import contract

# Numbers worked at once, of each array.
_BLOCK = 2**17


@contract
def cpu_silu_product(
    a: Float[Tensor, "*batch d_ff"], b: Float[Tensor, "*batch d_ff"]
) -> Float[Tensor, "*batch d_ff"]:
    """Compute `silu(a) * b`: in float32 at least inside, in the dtype of `a` outside."""
    if not torch.is_grad_enabled():
        return _silu_product(a, b)
    y: Tensor = _SiluProduct.apply(a, b)
    return y


def _silu_product(a: Tensor, b: Tensor) -> Tensor:
    return _wide(a).sigmoid().mul_(a).mul_(b).to(a.dtype)


class _SiluProduct(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _silu_product(a, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        grad_a, grad_b = (
            torch.empty_like(x, memory_format=torch.contiguous_format) for x in (a, b)
        )
        for a_rows, b_rows, grad_rows, grad_a_rows, grad_b_rows in zip(
            *_blocks(a, b, grad_y, grad_a, grad_b), strict=True
        ):
            numbers = _wide(a_rows)
            sigmoid = numbers.sigmoid()
            silu = numbers * sigmoid
            torch.mul(silu, grad_rows, out=grad_b_rows)
            slope = torch.addcmul(sigmoid, silu, 1.0 - sigmoid)
            torch.mul(slope.mul_(b_rows), grad_rows, out=grad_a_rows)
        return grad_a, grad_b


def _blocks(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Cut each tensor in blocks of rows; writing to a block writes to a tensor without gaps."""
    rows = max(1, _BLOCK // tensors[0].shape[-1])
    return [tensor.reshape(-1, tensor.shape[-1]).split(rows) for tensor in tensors]


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
