"""RMSNorm and its gradient (Zhang and Sennrich 2019, eq. 4).

For one row x of D numbers, with gain w,

    r = (mean(x^2) + eps)^(-1/2)        y = r x w

Differentiating r gives dr/dx_j = -r^3 x_j / D, so with t = dy x, elementwise,

    dx = r (dy w) - x r^3 (t.w) / D     dw = sum over rows of r t

The sums t.w and r t are products of t with a vector, so one array beside dx is enough. Of the
forward pass r is kept, one number a row, beside x, which the residual stream holds anyway.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from contracts import contract


@contract
def cpu_rms_norm(
    x: Float[Tensor, "*batch d_model"], weight: Float[Tensor, " d_model"], *, eps: float = 1e-5
) -> Float[Tensor, "*batch d_model"]:
    """Compute `rms_norm`: in float32 at least inside, in the dtype of `x` outside."""
    if not torch.is_grad_enabled():
        return _normalize(x, weight, eps)[0]
    y: Tensor = _RMSNorm.apply(x, weight, eps)
    return y


def _normalize(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    numbers = _wide(x)
    norm = torch.linalg.vector_norm(numbers, dim=-1, keepdim=True)
    inverse_rms = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    return (numbers * inverse_rms).mul_(weight).to(x.dtype), inverse_rms


class _RMSNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, inverse_rms = _normalize(x, weight, eps)
        ctx.save_for_backward(x, weight, inverse_rms)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse_rms = ctx.saved_tensors
        numbers, gradient, gain = _wide(x), _wide(grad_y), weight.to(inverse_rms.dtype)
        products = gradient * numbers
        # Autocast would take these products in bfloat16.
        with torch.autocast(x.device.type, enabled=False):
            shares = (products @ gain).unsqueeze(-1)
            grad_weight = inverse_rms.flatten() @ products.reshape(-1, x.shape[-1])
        shares *= inverse_rms.pow(3).div_(x.shape[-1])
        torch.mul(gradient, gain, out=products)
        grad_x = products.mul_(inverse_rms).addcmul_(numbers, shares, value=-1)
        return grad_x.to(x.dtype), grad_weight.to(weight.dtype), None


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
