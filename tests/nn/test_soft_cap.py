"""`soft_cap`: its formula, its bounds, its gradient, and the loss and logits that it bends."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nn import ModelConfig, TransformerLM, cross_entropy, linear_cross_entropy, soft_cap


def build(**choices: Any) -> TransformerLM:
    config = ModelConfig(
        vocab_size=53, context_length=11, d_model=6, num_layers=2, num_heads=3, d_ff=7, **choices
    )
    return TransformerLM(config, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_soft_cap_equals_the_formula(dtype: torch.dtype) -> None:
    x = 50 * torch.randn(3, 5, 7, dtype=dtype)
    exact = 30.0 * (x.double() / 30.0).tanh()
    torch.testing.assert_close(soft_cap(x, 30.0), exact.to(dtype))


@given(st.floats(-1e6, 1e6), st.floats(0.1, 100.0))
def test_soft_cap_is_odd_and_never_passes_the_cap(x: float, cap: float) -> None:
    above, below = soft_cap(torch.tensor([x, -x], dtype=torch.float64), cap).tolist()
    assert above == -below
    assert abs(above) <= min(cap, abs(x) * (1 + 1e-15) + 1e-300)


def test_soft_cap_gradient_is_exact() -> None:
    x = (4 * torch.randn(3, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_cap(x, 2), x)


def test_logits_of_a_model_are_bent_by_the_cap() -> None:
    token_ids = torch.randint(53, (2, 5))
    expected = soft_cap(build()(token_ids), 0.5)
    assert expected.abs().max() > 0.4
    assert torch.equal(build(logit_soft_cap=0.5)(token_ids), expected)


def test_loss_of_a_model_is_that_of_its_bent_logits() -> None:
    model = build(logit_soft_cap=0.5)
    token_ids, targets = torch.randint(53, (2, 5)), torch.randint(53, (2, 5))
    loss = model.loss(token_ids, targets)
    torch.testing.assert_close(loss, cross_entropy(model(token_ids), targets), rtol=1e-6, atol=0)
    assert abs(float(loss.detach()) - float(build().loss(token_ids, targets).detach())) > 1e-3


def test_a_cap_may_be_an_integer() -> None:
    token_ids, targets = torch.randint(53, (2, 5)), torch.randint(53, (2, 5))
    losses = [build(logit_soft_cap=cap).loss(token_ids, targets) for cap in (2, 2.0)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("cap", [0, -1, -0.5, math.nan, math.inf, True])
def test_a_cap_that_is_not_positive_is_refused(cap: float) -> None:
    with pytest.raises(ValueError, match=r"^soft_cap=\S+ is not a positive number$"):
        soft_cap(torch.zeros(3), cap)
    with pytest.raises(ValueError, match=r"^soft_cap=\S+ is not a positive number$"):
        linear_cross_entropy(
            torch.zeros(3, 5), torch.zeros(7, 5), torch.zeros(3, dtype=torch.int64), soft_cap=cap
        )
