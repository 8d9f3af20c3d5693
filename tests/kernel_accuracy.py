"""How far a kernel's result may lie from the exact one, and how to get the exact one."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Of the norm of the difference over the norm of the exact result. Operands rounded to 11 or 8 bits
# make errors near 3e-4 and 3e-3; Triton's interpreter cuts bfloat16 off instead of rounding it,
# which doubles the latter.
TOLERANCES = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}
DTYPES = list(TOLERANCES)


def relative_error(actual: Tensor, exact: Tensor) -> float:
    """Return the norm of the difference over the norm of `exact`; NaN where either has one.

    A norm below 0.01 counts as that: the gradient of what one key is attended by is 0.
    """
    exact = exact.detach().cpu()
    difference = (actual.detach().double().cpu() - exact).norm()
    return float(difference / exact.norm().clamp(min=1e-2))


def assert_exact(
    fast: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: Sequence[Tensor]
) -> None:
    """Hold the output of `fast` and its gradients at `inputs` to those of `plain` in float64."""
    tolerance = TOLERANCES[inputs[0].dtype]
    leaves = [x.detach().requires_grad_() for x in inputs]
    exact_leaves = [x.detach().double().requires_grad_() for x in inputs]
    actual, exact = fast(*leaves), plain(*exact_leaves)
    assert actual.shape == exact.shape
    assert relative_error(actual, exact) < tolerance
    grad = torch.randn_like(actual)
    gradients = torch.autograd.grad(actual, leaves, grad)
    exact_gradients = torch.autograd.grad(exact, exact_leaves, grad.double())
    for index, (gradient, exact_gradient) in enumerate(
        zip(gradients, exact_gradients, strict=True)
    ):
        assert gradient.dtype == inputs[index].dtype
        assert relative_error(gradient, exact_gradient) < tolerance, f"gradient of input {index}"
