# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"
"""The product of `linear`, y = x W^T, by oneDNN instead of MKL, and its gradients.

    dx = dy W           dW = dy^T x

PyTorch brings both libraries, and gives products of float32 to MKL, which is written for Intel's
CPUs. On one core of an AMD EPYC (Zen 4), with 2,048 rows, in GFLOP/s by MKL and by oneDNN:

    d_in x d_out        y           dx          dW
    512 x 512           99   109    100  110     98   98
    512 x 1,344        101   109    100  109    102   96

So dW stays with MKL: oneDNN wants the rows of its first factor without gaps, those of dy^T have
them, and the copy eats the gain. A shape that is new costs oneDNN half a millisecond, once.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from contracts import contract


@contract
def onednn_linear(
    x: Float[Tensor, "*batch d_in"], weight: Float[Tensor, "d_out d_in"]
) -> Float[Tensor, "*batch d_out"]:
    """Compute `linear` of float32 on a CPU. Its gradients have gradients too."""
    rows = x.reshape(-1, x.shape[-1])
    if torch.compiler.is_compiling():
        y: Tensor = _multiply_opaquely(rows, weight)
    elif torch.is_grad_enabled():
        y = _Linear.apply(rows, weight)
    else:
        y = _multiply(rows, weight)
    return y.view(*x.shape[:-1], -1)


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return a b^T, without a gradient, for a (M, K) and b (N, K); either may be a view."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(
    product: Callable[[Tensor, Tensor], Tensor], ctx: Any, grad_y: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Return dx, by a `product` that has gradients itself, and dW."""
    x, weight = ctx.saved_tensors
    wants_x, wants_weight = ctx.needs_input_grad
    return (
        product(grad_y, weight.T) if wants_x else None,
        grad_y.T @ x if wants_weight else None,
    )


class _Linear(Function):
    setup_context = staticmethod(_save)

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        return _multiply(x, weight)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return _differentiate(_Linear.apply, ctx, grad_y)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, int | None], *factors: Tensor
    ) -> tuple[Tensor, int]:
        x, weight = (
            factor if dim is None else factor.movedim(dim, 0)
            for factor, dim in zip(factors, in_dims, strict=True)
        )
        return x @ weight.mT, 0


# Opaque to the compiler, which knows this product of oneDNN as one of inference and would copy each
# weight that is a view. In eager mode this would work as well, but the first call loads the
# compiler.
_multiply_opaquely = torch.library.custom_op("groundup::multiply", mutates_args=())(_multiply)


@_multiply_opaquely.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[0])


_multiply_opaquely.register_autograd(
    lambda ctx, grad_y: _differentiate(_multiply_opaquely, ctx, grad_y), setup_context=_save
)
