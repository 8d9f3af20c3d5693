# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"
"""The product of `linear`, y = x W^T, by oneDNN instead of MKL, and its gradients.

    dx = dy W           dW = dy^T x

PyTorch brings both libraries, and gives products of float32 to MKL, which is written for Intel's
CPUs. On two cores of an AMD EPYC (Zen 4), with 2,048 rows, in GFLOP/s by MKL and by oneDNN:

    d_in x d_out        y           dx          dW
    512 x 512           201  219    201  220    191  205
    512 x 1,344         203  220    201  220    202  205
    1,344 x 512         197  216    196  220    193  204

oneDNN wants the rows of a first factor without gaps, and those of dy^T have them. So dW is found as
the gradient of a convolution whose kernel is one point: x and dy are images, a pixel to each row
and a channel to each column, and lie in memory as images may. A shape that is new costs oneDNN one
millisecond, once.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from contracts import contract

# Of an image. Threads share images, and with fewer than four, or smaller ones, MKL takes less time.
_PIXELS = 128
_IMAGES = 4


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
        _sum_outer_products(grad_y, x) if wants_weight else None,
    )


def _sum_outer_products(a: Tensor, b: Tensor) -> Tensor:
    """Return a^T b for a (K, M) and b (K, N), by operations that have gradients themselves."""
    if a.shape[0] % _PIXELS != 0 or a.shape[0] < _IMAGES * _PIXELS:
        return a.T @ b
    images_a, images_b = (_as_images(rows) for rows in (a, b))
    kernel = a.new_empty(a.shape[1], b.shape[1], 1, 1)  # of which no more than the shape is read
    stride, padding, dilation, wanted = [1, 1], [0, 0], [1, 1], [False, True, False]
    product: Tensor = torch.ops.aten.convolution_backward(
        images_a, images_b, kernel, None, stride, padding, dilation, False, [0, 0], 1, wanted
    )[1]
    return product.flatten(1)


def _as_images(rows: Tensor) -> Tensor:
    return rows.reshape(-1, _PIXELS, 1, rows.shape[1]).permute(0, 3, 1, 2)


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
