"""`TransformerLM`: its state, its properties, its first loss, and that it learns and compiles."""

import math
from typing import Any

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch.utils.checkpoint import checkpoint

from nn import ModelConfig, RMSNorm, TransformerLM, cross_entropy

CHOICES: list[dict[str, Any]] = [
    {},
    {"norm": "none"},
    {"norm_placement": "post"},
    {"position": "none"},
    {"ffn": "silu"},
    {"tied_embeddings": True},
    {"qk_norm": True},
    {"num_kv_heads": 2},
    {"ffn": "relu2"},
    {"logit_soft_cap": 3.0},
    {"value_embeddings": (1,)},
]
# All that leaderboards are won with, at once.
EVERYTHING: dict[str, Any] = {
    "num_kv_heads": 2,
    "tied_embeddings": True,
    "qk_norm": True,
    "ffn": "relu2",
    "logit_soft_cap": 15.0,
    "value_embeddings": (0, 1),
    "zero_init_outputs": True,
}


def build(*, dtype: torch.dtype | None = None, **choices: Any) -> TransformerLM:
    sizes = {"vocab_size": 53, "context_length": 23, "d_model": 24, "num_layers": 2, "num_heads": 6}
    config = ModelConfig(**(sizes | choices))
    return TransformerLM(config, dtype=dtype, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("num_kv_heads", [2, 6])
def test_model_equals_the_formula(num_kv_heads: int) -> None:
    model = build(dtype=torch.float64, num_kv_heads=num_kv_heads, rope_theta=100.0)
    token_ids = torch.randint(0, 53, (7,))
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    expected = reference.transformer_lm(
        token_ids.numpy(), weights, 2, 6, num_kv_heads, theta=100.0, eps=1e-5
    )
    torch.testing.assert_close(model(token_ids), torch.from_numpy(expected), rtol=0, atol=1e-6)


def test_state_dict_has_the_stated_keys() -> None:
    expected = {"token_embeddings.weight", "ln_final.weight", "lm_head.weight"}
    for i in range(2):
        expected |= {f"layers.{i}.attn.{p}_proj.weight" for p in ("q", "k", "v", "output")}
        expected |= {f"layers.{i}.ln{j}.weight" for j in (1, 2)}
        expected |= {f"layers.{i}.ffn.w{j}.weight" for j in (1, 2, 3)}
    assert set(build().state_dict()) == expected


@pytest.mark.parametrize("choices", CHOICES)
def test_every_choice_gives_logits_and_a_gradient_for_every_weight(choices: dict[str, Any]) -> None:
    model = build(**choices)
    token_ids = torch.randint(0, 53, (3, 11))
    logits = model(token_ids)
    assert logits.shape == (3, 11, 53)
    torch.autograd.backward(cross_entropy(logits, token_ids))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name


@pytest.mark.parametrize("choices", CHOICES)
def test_first_loss_is_near_that_of_equal_probabilities(choices: dict[str, Any]) -> None:
    model = build(vocab_size=997, d_model=96, **choices)
    token_ids = torch.randint(0, 997, (17, 23))
    loss = cross_entropy(model(token_ids), torch.randint(0, 997, (17, 23)))
    # Without any norm, a stream of growing variance reaches the output.
    slack = 0.6 if choices == {"norm": "none"} else 0.2
    assert float(loss.detach()) == pytest.approx(math.log(997), abs=slack)


@settings(max_examples=12)
@given(st.integers(1, 10), st.sampled_from(CHOICES))
def test_model_is_causal(changed: int, choices: dict[str, Any]) -> None:
    model, token_ids = build(**choices), torch.randint(0, 53, (3, 11))
    other = token_ids.clone()
    other[:, changed:] = (other[:, changed:] + 1) % 53
    before, after = model(token_ids), model(other)
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert not torch.equal(before[:, changed:], after[:, changed:])


@settings(max_examples=12)
@given(st.integers(0, 9), st.sampled_from(CHOICES))
def test_padding_on_the_left_changes_nothing(pad: int, choices: dict[str, Any]) -> None:
    model, token_ids = build(**choices), torch.randint(0, 53, (3, 11))
    padded = torch.cat((torch.randint(0, 53, (3, pad)), token_ids), dim=1)
    positions = (torch.arange(pad + 11) - pad).clamp(min=0)
    mask = (torch.arange(pad + 11) >= pad).expand(3, 1, -1)
    logits = model(padded, positions=positions.expand(3, -1), mask=mask)
    torch.testing.assert_close(logits[:, pad:], model(token_ids), rtol=0, atol=1e-5)


def test_positions_say_where_the_tokens_stand() -> None:
    model, token_ids = build(), torch.randint(0, 53, (3, 11))
    counted = model(token_ids)
    assert torch.equal(model(token_ids, positions=torch.arange(11)), counted)
    shifted = model(token_ids, positions=torch.arange(11) + 12)
    torch.testing.assert_close(shifted, counted, rtol=0, atol=1e-5)
    spread = model(token_ids, positions=2 * torch.arange(11))
    assert not torch.allclose(spread, counted, rtol=0, atol=1e-2)


def test_model_takes_any_batch_axes() -> None:
    model, token_ids = build(), torch.randint(0, 53, (2, 3, 11))
    rows = model(token_ids.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(model(token_ids), rows, rtol=0, atol=1e-5)
    torch.testing.assert_close(model(token_ids[1, 2]), rows[1, 2], rtol=0, atol=1e-5)


def test_generator_decides_the_weights() -> None:
    first, second = build().state_dict(), build().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_tied_embeddings_are_one_parameter() -> None:
    model = build(tied_embeddings=True)
    assert model.lm_head.weight is model.token_embeddings.weight
    assert sum(p.numel() for p in model.parameters()) == sum(
        p.numel() for name, p in build().named_parameters() if name != "lm_head.weight"
    )


def test_zero_initialised_outputs_leave_the_embeddings_as_they_are() -> None:
    model, token_ids = build(zero_init_outputs=True), torch.randint(0, 53, (3, 11))
    bare = model.lm_head(model.ln_final(model.token_embeddings(token_ids)))
    assert torch.equal(model(token_ids), bare)


def test_zero_initialisation_touches_only_the_last_matrix_of_each_sublayer() -> None:
    plain, state = build().state_dict(), build(zero_init_outputs=True).state_dict()
    zeroed = {name for name, weight in state.items() if weight.count_nonzero() == 0}
    ends = ("attn.output_proj.weight", "ffn.w2.weight")
    assert zeroed == {f"layers.{i}.{end}" for i in range(2) for end in ends}
    assert all(torch.equal(state[name], plain[name]) for name in plain.keys() - zeroed)


def test_every_rms_norm_has_the_epsilon_of_the_config() -> None:
    model = build(norm_eps=0.25, qk_norm=True)
    epsilons = [module.eps for module in model.modules() if isinstance(module, RMSNorm)]
    assert epsilons == [0.25] * 9


@pytest.mark.parametrize("choices", [{}, EVERYTHING])
def test_model_memorises_a_batch(choices: dict[str, Any]) -> None:
    model = build(**choices)
    token_ids = torch.randint(0, 53, (3, 12))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    for _ in range(40):
        loss = cross_entropy(model(token_ids[:, :-1]), token_ids[:, 1:])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss.item() < 0.01


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)])
def test_compiled_model_has_no_graph_break_and_the_same_gradients(backend: str) -> None:
    choices: dict[str, Any] = {
        "qk_norm": True,
        "num_kv_heads": 2,
        "logit_soft_cap": 3.0,
        "value_embeddings": (1,),
    }
    model, token_ids = build(**choices), torch.randint(0, 53, (3, 11))
    loss = cross_entropy(model(token_ids), token_ids)
    expected = torch.autograd.grad(loss, list(model.parameters()))

    def step(token_ids: torch.Tensor) -> torch.Tensor:
        return cross_entropy(model(token_ids), token_ids)

    compiled = torch.compile(step, fullgraph=True, backend=backend)(token_ids)
    torch.testing.assert_close(compiled, loss, rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad(compiled, list(model.parameters()))
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("choices", [{}, EVERYTHING])
def test_model_runs_under_bfloat16_autocast(choices: dict[str, Any]) -> None:
    model, token_ids = build(**choices), torch.randint(0, 53, (3, 11))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(token_ids)
        loss = cross_entropy(logits, token_ids)
    torch.autograd.backward(loss)
    assert logits.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
    torch.testing.assert_close(logits.float(), model(token_ids), rtol=0, atol=5e-2)


def test_bfloat16_model_is_near_the_float32_model() -> None:
    model, token_ids = build(), torch.randint(0, 53, (3, 11))
    expected = model(token_ids)
    logits = model.to(torch.bfloat16)(token_ids)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=5e-2)


def test_activation_checkpointing_changes_no_gradient() -> None:
    model, x = build(), torch.randn(3, 11, 24, requires_grad=True)
    (plain,) = torch.autograd.grad(model.layers[0](x).sum(), x)
    again = checkpoint(model.layers[0], x, use_reentrant=False)
    assert torch.equal(torch.autograd.grad(again.sum(), x)[0], plain)


@pytest.mark.parametrize("choices", [{}, EVERYTHING], ids=["default", "everything"])
def test_checkpointed_model_has_the_same_gradients_bit_by_bit(choices: dict[str, Any]) -> None:
    model, ids = build(**choices), torch.randint(0, 53, (3, 11))
    plain = torch.autograd.grad(model.loss(ids, ids), list(model.parameters()))
    model.activation_checkpointing = True
    again = torch.autograd.grad(model.loss(ids, ids), list(model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def test_too_long_a_sequence_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^24 tokens exceed model\.context_length=23$"):
        build()(torch.zeros(2, 24, dtype=torch.int64))


def test_token_outside_the_vocabulary_is_named() -> None:
    with pytest.raises(IndexError, match=r"^token id 53 at place 1 is outside 0\.\.52$"):
        build()(torch.tensor([[5, 53]]))


def test_tokens_must_be_integers() -> None:
    with pytest.raises(TypeCheckError, match="token_ids"):
        build()(torch.zeros(2, 3))
