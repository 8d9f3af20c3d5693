"""`accounting`: against counted tensors, torch's FLOP counter, and what autograd keeps."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from nn import ModelConfig, TransformerLM, accounting, cross_entropy

CHOICES: list[dict[str, Any]] = [
    {},
    {"norm": "none"},
    {"norm_placement": "post"},
    {"position": "none"},
    {"ffn": "silu"},
    {"d_ff": 101},
    {"tied_embeddings": True},
    {"qk_norm": True},
    {"num_kv_heads": 2},
    {"ffn": "relu2"},
    {"logit_soft_cap": 3.0},
    {"value_embeddings": (0, 2), "num_kv_heads": 2},
    {"zero_init_outputs": True},
]


def build(choices: dict[str, Any]) -> TransformerLM:
    config = ModelConfig(
        vocab_size=997, context_length=61, d_model=96, num_layers=3, num_heads=6, **choices
    )
    return TransformerLM(config)


@pytest.mark.parametrize("choices", CHOICES)
def test_parameters_are_those_of_the_model(choices: dict[str, Any]) -> None:
    model = build(choices)
    counted = accounting.count_parameters(model.config)
    assert sum(counted.values()) == sum(p.numel() for p in model.parameters())


def test_parameters_of_each_part_are_those_of_its_modules() -> None:
    model = build({"qk_norm": True, "num_kv_heads": 2, "value_embeddings": (0, 1)})
    expected = dict.fromkeys(accounting.PARTS, 0)
    for name, parameter in model.named_parameters():
        if name.startswith("value_embeddings"):
            part = "value_embeddings"
        elif "norm" in name or "ln" in name.split(".")[-2]:
            part = "norms"
        elif ".attn." in name:
            part = "attention_projections"
        elif ".ffn." in name:
            part = "ffn"
        else:
            part = name.removesuffix(".weight")
        expected[part] += parameter.numel()
    assert accounting.count_parameters(model.config) == expected


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl"])
def test_parameters_of_a_preset_are_those_of_the_model(name: str) -> None:
    config = accounting.PRESETS[name]
    model = TransformerLM(config, device="meta")
    counted = accounting.count_parameters(config)
    assert sum(counted.values()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("choices", CHOICES)
def test_flops_equal_those_of_the_counter(choices: dict[str, Any]) -> None:
    # In float64 the plain functions are at work: those for speed compute scores a second time.
    model = build(choices).double()
    token_ids = torch.zeros(2, 61, dtype=torch.int64)
    with FlopCounterMode(display=False) as forward:
        total = model(token_ids).sum()
    with FlopCounterMode(display=False) as backward:
        torch.autograd.backward(total)
    per_token = accounting.count_forward_flops(model.config)
    assert forward.get_total_flops() == 2 * 61 * sum(per_token.values())
    per_token = accounting.count_backward_flops(model.config)
    assert backward.get_total_flops() == 2 * 61 * sum(per_token.values())


def test_flops_grow_with_the_context_in_the_scores_alone() -> None:
    short = accounting.count_forward_flops(ModelConfig(), context_length=7)
    long = accounting.count_forward_flops(ModelConfig(), context_length=14)
    assert long.pop("attention_scores") == 2 * short.pop("attention_scores")
    assert long == short


def kept_for_backward(model: TransformerLM, token_ids: Tensor) -> int:
    """Count the floats in all distinct tensors that autograd keeps, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        # Whatever is shaped like the embeddings is a gradient of the output projection.
        gradient = tensor.shape == model.lm_head.weight.shape
        if tensor.is_floating_point() and place not in weights and not gradient:
            # Holding the tensor keeps its place from being used again.
            kept[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.loss(token_ids, token_ids)
    return sum(
        tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in kept.values()
    )


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("choices", CHOICES)
def test_activations_are_what_autograd_keeps(choices: dict[str, Any], plain: bool) -> None:
    # In float64 the plain functions are at work.
    model = build(choices).to(torch.float64 if plain else torch.float32)
    kept = kept_for_backward(model, torch.zeros(5, 61, dtype=torch.int64))
    counted = 5 * 61 * sum(accounting.count_activations(model.config, plain=plain).values())
    # The tables of angles are not counted: they do not grow with the batch.
    assert kept == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("choices", CHOICES)
def test_checkpointing_keeps_the_inputs_of_blocks_and_one_block(choices: dict[str, Any]) -> None:
    model, ids = build(choices), torch.zeros(5, 61, dtype=torch.int64)
    whole = kept_for_backward(model, ids)
    model.activation_checkpointing = True
    counts = [
        5 * 61 * sum(accounting.count_activations(model.config, checkpointing=again).values())
        for again in (False, True)
    ]
    # What autograd keeps before anything is computed again; each of three blocks keeps alike.
    block = (whole - kept_for_backward(model, ids) + 3 * 5 * 61 * 96) / 3
    expected = kept_for_backward(model, ids) - 5 * 61 * 96 + block
    assert counts[1] == pytest.approx(expected, rel=0.03)
    assert counts[1] < 0.6 * counts[0]


def test_only_plain_functions_keep_scores_for_every_key() -> None:
    short, long = (
        accounting.count_activations(ModelConfig(), context_length=length) for length in (7, 14)
    )
    assert short == long
    short, long = (
        accounting.count_activations(ModelConfig(), context_length=length, plain=True)
        for length in (7, 14)
    )
    assert long["attention_scores"] - short["attention_scores"] == 7 * 16 * 4


def test_memory_of_the_optimizer_is_that_of_its_state() -> None:
    model = build({})
    optimizer = torch.optim.AdamW(model.parameters())
    token_ids = torch.zeros(2, 61, dtype=torch.int64)
    torch.autograd.backward(cross_entropy(model(token_ids), token_ids))
    optimizer.step()
    state = sum(
        value.nbytes
        for values in optimizer.state.values()
        for name, value in values.items()
        if name != "step"
    )
    memory = accounting.count_memory(model.config, batch_size=2)
    assert memory["optimizer"] == state
    assert memory["gradients"] == sum(
        p.grad.nbytes for p in model.parameters() if p.grad is not None
    )
    assert memory["parameters"] == sum(p.nbytes for p in model.parameters())


def test_memory_of_activations_grows_with_the_batch() -> None:
    config = ModelConfig()
    one = accounting.count_memory(config, batch_size=1)["activations"]
    assert accounting.count_memory(config, batch_size=7)["activations"] == 7 * one


@pytest.mark.parametrize("memory", [8e9, 80e9])
def test_largest_batch_fits_and_one_more_does_not(memory: float) -> None:
    config = accounting.PRESETS["gpt2"]
    largest = accounting.largest_batch(config, memory, context_length=509)
    needed = [
        sum(accounting.count_memory(config, batch_size=size, context_length=509).values())
        for size in (largest, largest + 1)
    ]
    assert largest > 0
    assert needed[0] <= memory < needed[1]


def test_nothing_fits_where_the_weights_do_not() -> None:
    assert accounting.largest_batch(accounting.PRESETS["gpt2-xl"], 1e9) == 0


def test_days_are_flops_over_flops_per_day() -> None:
    model = build({}).double()
    token_ids = torch.zeros(2, 61, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(model(token_ids).sum())
    days = accounting.training_days(model.config, 2 * 61, device_flops=1e6, mfu=0.25)
    assert days == pytest.approx(counter.get_total_flops() / 0.25e6 / 86_400)


def test_every_count_has_the_same_parts() -> None:
    config = ModelConfig()
    for count in (
        accounting.count_parameters,
        accounting.count_forward_flops,
        accounting.count_backward_flops,
        accounting.count_activations,
    ):
        assert tuple(count(config)) == accounting.PARTS
