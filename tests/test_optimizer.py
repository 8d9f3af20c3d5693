"""The optimizer adapters against torch's own AdamW and against the schedule worked out by hand."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from adapters import get_adamw_cls, run_get_lr_cosine_schedule, run_gradient_clipping


def train(cls: Callable[..., torch.optim.Optimizer], dtype: torch.dtype) -> torch.Tensor:
    """Fit a linear layer to fixed random targets for 97 steps; return its weight."""
    generator = torch.Generator().manual_seed(29)
    inputs = torch.randn(11, 5, generator=generator).to(dtype)
    targets = torch.randn(11, 3, generator=generator).to(dtype)
    weight = torch.nn.Parameter(torch.randn(3, 5, generator=generator).to(dtype))
    optimizer = cls([weight], lr=1e-2, weight_decay=0.03, betas=(0.9, 0.98), eps=1e-8)
    for _ in range(97):
        optimizer.zero_grad()
        loss: Any = (inputs @ weight.T - targets).square().mean()
        loss.backward()
        optimizer.step()
    return weight.detach()


def test_adamw_trains_like_torch_in_float32() -> None:
    expected = train(torch.optim.AdamW, torch.float32)
    torch.testing.assert_close(
        train(get_adamw_cls(), torch.float32), expected, rtol=1e-5, atol=1e-5
    )


def test_adamw_trains_like_torch_in_float64() -> None:
    expected = train(torch.optim.AdamW, torch.float64)
    torch.testing.assert_close(
        train(get_adamw_cls(), torch.float64), expected, rtol=1e-12, atol=1e-12
    )


def test_cosine_schedule_of_a_whole_run() -> None:
    """Seven steps of warm-up, a fall over fourteen, four steps at the minimum."""
    rates = [run_get_lr_cosine_schedule(it, 1.0, 0.1, 7, 21) for it in range(25)]
    warm_up = [it / 7 for it in range(7)]
    fall = [0.1 + 0.45 * (1 + math.cos(math.pi * step / 14)) for step in range(15)]
    assert rates == pytest.approx([*warm_up, *fall, 0.1, 0.1, 0.1], abs=1e-12)


@pytest.mark.parametrize("max_norm", [0.01, 100.0])
def test_gradient_clipping_equals_torch(max_norm: float) -> None:
    generator = torch.Generator().manual_seed(31)
    ours = [torch.nn.Parameter(torch.zeros(shape)) for shape in [(5,), (7, 2), (3,)]]
    theirs = [torch.nn.Parameter(torch.zeros(shape)) for shape in [(5,), (7, 2), (3,)]]
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        a.grad = torch.randn(a.shape, generator=generator)
        b.grad = a.grad.clone()
    run_gradient_clipping(ours, max_norm)
    torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    assert ours[2].grad is None
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-8)
