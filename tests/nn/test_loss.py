"""The loss straight from hidden states, and what the model adds to it."""

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError

from nn import ModelConfig, TransformerLM, cross_entropy, linear, linear_cross_entropy

CONFIG = ModelConfig(vocab_size=53, context_length=11, d_model=6, num_layers=2, num_heads=3, d_ff=7)


def test_linear_cross_entropy_equals_torch() -> None:
    hidden = torch.randn(2, 3, 5, requires_grad=True)
    weight = torch.randn(7, 5, requires_grad=True)
    targets = torch.randint(7, (2, 3))
    ours = linear_cross_entropy(hidden, weight, targets)
    expected = F.cross_entropy((hidden @ weight.T).flatten(0, 1), targets.flatten())
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)
    for actual, exact in zip(
        torch.autograd.grad(ours, (hidden, weight)),
        torch.autograd.grad(expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(actual, exact, rtol=1e-5, atol=1e-6)


def test_linear_cross_entropy_refuses_a_weight_of_another_width() -> None:
    with pytest.raises(TypeCheckError):
        linear_cross_entropy(torch.randn(3, 5), torch.randn(7, 11), torch.zeros(3).long())


def test_the_loss_of_a_model_is_the_cross_entropy_of_its_logits() -> None:
    model = TransformerLM(CONFIG)
    ids, targets = torch.randint(53, (2, 5)), torch.randint(53, (2, 5))
    expected = cross_entropy(model(ids), targets)
    torch.testing.assert_close(model.loss(ids, targets), expected, rtol=1e-6, atol=0)


def test_the_output_projection_turns_hidden_states_into_logits() -> None:
    model = TransformerLM(CONFIG)
    ids = torch.randint(53, (2, 5))
    hidden = model.hidden_states(ids)
    assert hidden.shape == (2, 5, 6)
    assert torch.equal(linear(hidden, model.lm_head.weight), model(ids))


def test_scaled_loss_in_float16_loses_no_small_gradient() -> None:
    """What is formed before the loss scale is known, as probability over tokens, would be lost."""
    generator = torch.Generator().manual_seed(3)
    hidden = torch.rand(4099, 5, generator=generator)
    weight = (torch.randn(1009, 5, generator=generator) / 10).requires_grad_()
    targets = torch.zeros(4099, dtype=torch.int64)
    (exact,) = torch.autograd.grad(linear_cross_entropy(hidden, weight, targets), weight)
    with torch.autocast("cpu", torch.float16):
        loss = linear_cross_entropy(hidden, weight, targets)
    (scaled,) = torch.autograd.grad(loss * 1024, weight)
    # Of ids that never came. Float16 keeps one part in 2^11.
    assert (scaled / 1024 - exact)[1:].norm() < 2e-3 * exact[1:].norm()
