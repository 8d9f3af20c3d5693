"""Adapters of softmax, cross-entropy and gradient clipping, against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from adapters import run_cross_entropy, run_gradient_clipping, run_softmax
from torch import Tensor
from torch.nn import Parameter


def numbers(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_softmax_equals_torch(dim: int, dtype: torch.dtype) -> None:
    x = numbers(3, 5, 7, dtype=dtype)
    torch.testing.assert_close(run_softmax(x, dim), torch.softmax(x, dim))


def test_softmax_of_numbers_near_the_largest_float_equals_torch() -> None:
    x = numbers(3, 5) + 3e38 / 2**7
    torch.testing.assert_close(run_softmax(x, -1), torch.softmax(x, -1))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_cross_entropy_equals_torch(scale: float) -> None:
    logits, targets = scale * numbers(11, 7), torch.arange(11) % 7
    expected = F.cross_entropy(logits, targets)
    torch.testing.assert_close(run_cross_entropy(logits, targets), expected, rtol=1e-6, atol=1e-6)


def test_cross_entropy_of_bfloat16_equals_torch_in_float32() -> None:
    logits, targets = numbers(11, 7, dtype=torch.bfloat16), torch.arange(11) % 7
    expected = F.cross_entropy(logits.float(), targets)
    torch.testing.assert_close(run_cross_entropy(logits, targets), expected, rtol=1e-6, atol=1e-6)


def test_cross_entropy_averages_over_every_leading_axis() -> None:
    logits, targets = numbers(2, 3, 5, 7), torch.arange(30).view(2, 3, 5) % 7
    expected = F.cross_entropy(logits.view(-1, 7), targets.view(-1))
    torch.testing.assert_close(run_cross_entropy(logits, targets), expected, rtol=1e-6, atol=1e-6)


def parameters(dtype: torch.dtype) -> list[Parameter]:
    """Return parameters of several shapes with gradients, and one frozen without."""
    made = []
    for seed, shape in enumerate([(3, 5), (7,), (2, 11, 3)]):
        parameter = Parameter(torch.zeros(shape, dtype=dtype))
        parameter.grad = numbers(*shape, dtype=dtype, seed=seed)
        made.append(parameter)
    made.append(Parameter(torch.zeros(13, dtype=dtype), requires_grad=False))
    return made


@pytest.mark.parametrize("max_l2_norm", [1e-2, 1.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_clipping_equals_torch(max_l2_norm: float, dtype: torch.dtype) -> None:
    ours, theirs = parameters(dtype), parameters(dtype)
    run_gradient_clipping(ours, max_l2_norm)
    torch.nn.utils.clip_grad_norm_(theirs, max_l2_norm)
    # One unit of bfloat16's last place: the norm is summed in another order.
    rtol = 1e-6 if dtype == torch.float32 else 2**-7
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=rtol, atol=0)


def test_gradient_clipping_takes_a_generator_of_parameters() -> None:
    ours, theirs = parameters(torch.float32), parameters(torch.float32)
    run_gradient_clipping((p for p in ours), 0.5)
    torch.nn.utils.clip_grad_norm_(theirs, 0.5)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=0)
