"""The gate for speed at the edges of floats, and in blocks."""

import pytest
import torch
from kernel_accuracy import assert_exact

import nn.fused.swiglu as fused
from nn import silu
from nn.fused.swiglu import cpu_silu_product


def test_gates_far_from_zero_are_open_or_shut() -> None:
    a = torch.tensor([-1e30, -200.0, -90.0, 0.0, 90.0, 1e30], requires_grad=True)
    y = cpu_silu_product(a, torch.ones(6))
    assert y.tolist() == pytest.approx([0.0, 0.0, 0.0, 0.0, 90.0, 1e30])
    (gradient,) = torch.autograd.grad(y.sum(), a)
    assert gradient.tolist() == [0.0, 0.0, pytest.approx(0.0), 0.5, 1.0, 1.0]


@pytest.mark.parametrize("block", [1, 2 * 5, 1000])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(fused, "_BLOCK", block)
    assert_exact(cpu_silu_product, lambda a, b: silu(a) * b, [torch.randn(7, 5), torch.randn(7, 5)])
