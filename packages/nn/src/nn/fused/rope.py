# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""Rotary positions as products of complex numbers, and their gradient (Su et al. 2021, eq. 34).

A pair (a, b) is the number z = a + ib, and turning it by an angle is one product:

    z  ->  z (cos + i sin)          dz  ->  dz (cos - i sin)

The gradient of a rotation is the rotation back: nothing is kept but the tables.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from contracts import contract


@contract
def cpu_rope(
    x: Float[Tensor, "*batch d_k"],
    cos: Float[Tensor, "*#batch d_k//2"],
    sin: Float[Tensor, "*#batch d_k//2"],
) -> Float[Tensor, "*batch d_k"]:
    """Compute `rope` for tables that need no gradient."""
    if torch.compiler.is_compiling():
        turned: Tensor = _turn_opaquely(x, cos, sin)
    elif torch.is_grad_enabled():
        turned = _Rope.apply(x, cos, sin)
    else:
        turned = _turn(x, cos, sin)
    return turned


class _Rope(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(grad, cos, -sin), None, None


# The compiler knows no complex numbers, and makes of pairs a loop that takes one number at a time.
@torch.library.custom_op("groundup::turn_pairs", mutates_args=())
def _turn_opaquely(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    turned, promised = _turn(x, cos, sin), torch.empty_like(x)
    return turned if turned.stride() == promised.stride() else promised.copy_(turned)


@_turn_opaquely.register_fake
def _(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return torch.empty_like(x)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    cos, sin = ctx.saved_tensors
    turned: Tensor = _turn_opaquely(grad, cos, -sin)
    return turned, None, None


_turn_opaquely.register_autograd(_backward, setup_context=_save)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    wide = torch.promote_types(torch.promote_types(x.dtype, cos.dtype), torch.float32)
    angles = torch.complex(cos.to(wide), sin.to(wide))
    pairs = x.to(wide).view(*x.shape[:-1], x.shape[-1] // 2, 2)
    if not _is_complex_in_memory(pairs):
        pairs = pairs.contiguous()
    return torch.view_as_real(torch.view_as_complex(pairs) * angles).flatten(-2).to(x.dtype)


def _is_complex_in_memory(pairs: Tensor) -> bool:
    """Tell whether all pairs begin at even places, one number after the other."""
    places = (pairs.storage_offset(), *pairs.stride()[:-1])
    return pairs.stride(-1) == 1 and all(place % 2 == 0 for place in places)
