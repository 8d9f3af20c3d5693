"""What holds for each function of `nn.fused`: exact, differentiable once, at home in torch."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from kernel_accuracy import DTYPES, assert_exact, relative_error
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nn import (
    causal_attention,
    cross_entropy,
    linear,
    linear_cross_entropy,
    rms_norm,
    rope,
    silu,
    soft_cap,
)
from nn.fused.attention import cpu_causal_attention
from nn.fused.cross_entropy import cpu_cross_entropy, cpu_linear_cross_entropy
from nn.fused.rms_norm import cpu_rms_norm
from nn.fused.rope import cpu_rope
from nn.fused.swiglu import cpu_silu_product

TARGETS = torch.tensor([[3, 0, 1], [1, 4, 2]])
DOCUMENTS = torch.tensor([[0, 0, 1, 1, 1, 4, 5], [2, 2, 2, 2, 2, 2, 3]])
ANGLES = torch.linspace(-2.0, 3.0, 3 * 2).view(3, 2)


@dataclass(frozen=True)
class Case:
    """A function for speed, the plain one (which float64 gets), and shapes to try both with."""

    fast: Callable[..., Tensor]
    plain: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]

    def draw(self, dtype: torch.dtype) -> list[Tensor]:
        """Return inputs that want gradients."""
        return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in self.shapes]


CASES = {
    "attention": Case(
        cpu_causal_attention, causal_attention, ((2, 6, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4))
    ),
    "attention of documents": Case(
        lambda q, k, v: cpu_causal_attention(q, k, v, DOCUMENTS),
        lambda q, k, v: causal_attention(q, k, v, DOCUMENTS),
        ((2, 6, 7, 4), (2, 3, 7, 4), (2, 3, 7, 4)),
    ),
    "cross entropy": Case(
        lambda z: cpu_cross_entropy(z, TARGETS), lambda z: cross_entropy(z, TARGETS), ((2, 3, 5),)
    ),
    "linear cross entropy": Case(
        lambda h, w: cpu_linear_cross_entropy(h, w, TARGETS, slice_bytes=50),
        lambda h, w: linear_cross_entropy(h, w, TARGETS),
        ((2, 3, 7), (5, 7)),
    ),
    "soft-capped linear cross entropy": Case(
        lambda h, w: cpu_linear_cross_entropy(h, w, TARGETS, soft_cap=1.5, slice_bytes=50),
        lambda h, w: cross_entropy(soft_cap(linear(h, w), 1.5), TARGETS),
        ((2, 3, 7), (5, 7)),
    ),
    "rms_norm": Case(cpu_rms_norm, rms_norm, ((2, 3, 7), (7,))),
    "rope": Case(
        lambda x: cpu_rope(x, ANGLES.cos(), ANGLES.sin()),
        lambda x: rope(x, ANGLES.cos(), ANGLES.sin()),
        ((5, 3, 4),),
    ),
    "silu product": Case(cpu_silu_product, lambda a, b: silu(a) * b, ((2, 3, 5), (2, 3, 5))),
}
every_function = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def value_and_gradients(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    value = function(*inputs)
    return [value, *torch.autograd.grad(value.square().sum(), inputs)]


@every_function
def test_gradients_are_those_of_the_function(case: Case) -> None:
    assert torch.autograd.gradcheck(case.fast, case.draw(torch.float64))


@every_function
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_gradients_equal_the_plain_ones(case: Case, dtype: torch.dtype) -> None:
    assert_exact(case.fast, case.plain, case.draw(dtype))


@every_function
def test_compiling_whole_changes_nothing(case: Case) -> None:
    inputs = case.draw(torch.float32)
    expected = value_and_gradients(case.fast, inputs)
    # All wrappers of `contract` share one code object, which dynamo remembers.
    torch.compiler.reset()
    compiled = torch.compile(case.fast, fullgraph=True, backend="aot_eager")
    for actual, exact in zip(value_and_gradients(compiled, inputs), expected, strict=True):
        assert relative_error(actual, exact.double()) < 1e-6


@every_function
def test_checkpointing_changes_nothing(case: Case) -> None:
    inputs = case.draw(torch.float32)
    recomputed = value_and_gradients(
        lambda *args: checkpoint(case.fast, *args, use_reentrant=False), inputs
    )
    for actual, exact in zip(recomputed, value_and_gradients(case.fast, inputs), strict=True):
        assert torch.equal(actual, exact)


@every_function
def test_gradients_accumulate(case: Case) -> None:
    inputs = case.draw(torch.float32)
    _, *once = value_and_gradients(case.fast, inputs)
    for _ in range(2):
        torch.autograd.backward(case.fast(*inputs).square().sum())
    for leaf, gradient in zip(inputs, once, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, 2 * gradient, rtol=1e-6, atol=0)


@every_function
def test_a_graph_that_is_kept_gives_the_same_gradients_again(case: Case) -> None:
    inputs = case.draw(torch.float32)
    total = case.fast(*inputs).sum()
    first = torch.autograd.grad(total, inputs, retain_graph=True)
    for gradient in first:
        gradient.mul_(3.0)  # As clipping does.
    second = torch.autograd.grad(total, inputs)
    for tripled, gradient in zip(first, second, strict=True):
        torch.testing.assert_close(tripled, 3.0 * gradient, rtol=1e-6, atol=0)


@every_function
def test_under_autocast_gradients_have_the_dtype_of_the_inputs(case: Case) -> None:
    inputs = case.draw(torch.float32)
    full = value_and_gradients(case.fast, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = value_and_gradients(case.fast, inputs)
    for actual, exact in zip(rounded, full, strict=True):
        assert actual.dtype == torch.float32
        assert relative_error(actual, exact.double()) < 2e-2


@every_function
def test_a_second_derivative_is_refused(case: Case) -> None:
    inputs = case.draw(torch.float32)
    value = case.fast(*inputs).square().sum()
    gradients = torch.autograd.grad(value, inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        torch.autograd.backward(gradients[0].sum())


@every_function
def test_inputs_that_lie_apart_in_memory_change_nothing(case: Case) -> None:
    inputs = case.draw(torch.float32)
    apart = [torch.stack((x, x), -1)[..., 1].detach().requires_grad_() for x in inputs]
    for actual, exact in zip(
        value_and_gradients(case.fast, apart), value_and_gradients(case.fast, inputs), strict=True
    ):
        torch.testing.assert_close(actual, exact, rtol=1e-6, atol=1e-6)
