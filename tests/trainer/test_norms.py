"""The norms of weights, gradients and activations, layer by layer."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from small_run import cut_after, rows, run_to, small_config

from trainer.display import Display
from trainer.loop import build
from trainer.norms import measure_norms
from trainer.prepared import PreparedData

IDS = torch.arange(3 * 17).view(3, 17)


def test_norms_are_those_of_every_weight_and_gradient() -> None:
    model, _ = build(small_config(), torch.device("cpu"))
    torch.autograd.backward(model.loss(IDS, IDS))
    found = measure_norms(model, IDS)
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        assert found["weights"].pop(name) == pytest.approx(weight.norm().item(), rel=1e-6)
        assert found["gradients"].pop(name) == pytest.approx(weight.grad.norm().item(), rel=1e-6)
    assert not found["weights"]
    assert not found["gradients"]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_root_mean_squares_of_what_layers_put_out(checkpointing: bool) -> None:
    config = dataclasses.replace(small_config(), activation_checkpointing=checkpointing)
    model, _ = build(config, torch.device("cpu"))
    x = model.token_embeddings(IDS)
    expected = {"token_embeddings": x}
    for index, layer in enumerate(model.layers):
        x = expected[f"layers.{index}"] = layer(x)
    expected["ln_final"] = model.ln_final(x)
    found = measure_norms(model, IDS)["activations"]
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name] == pytest.approx(tensor.square().mean().sqrt().item(), rel=1e-5)


def test_looking_changes_nothing_and_leaves_no_hook() -> None:
    model, _ = build(small_config(), torch.device("cpu"))
    torch.autograd.backward(model.loss(IDS, IDS))
    before = [
        (w.detach().clone(), w.grad.clone()) for w in model.parameters() if w.grad is not None
    ]
    measure_norms(model, IDS)
    for (weight, gradient), live in zip(before, model.parameters(), strict=True):
        assert live.grad is not None
        assert torch.equal(live, weight)
        assert torch.equal(live.grad, gradient)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_run_writes_norms_as_often_as_metrics_and_once_each(
    tmp_path: Path, byte_data: PreparedData, quiet: Display
) -> None:
    config = dataclasses.replace(small_config(), log_every=2, log_norms=True)
    run_to(tmp_path, config, byte_data, quiet)
    cut_after(tmp_path, 4)
    run_to(tmp_path, config, byte_data, quiet, resume=True)
    found = [json.loads(line) for line in (tmp_path / "norms.jsonl").read_text().splitlines()]
    assert [line["step"] for line in found] == [2, 4, 6]
    measured = {row["step"]: row["grad_norm"] for row in rows(tmp_path)}
    for line in found:
        joint = math.hypot(*line["gradients"].values())
        assert joint == pytest.approx(measured[line["step"]], rel=1e-5)


def test_looking_does_not_change_the_run(
    tmp_path: Path, byte_data: PreparedData, quiet: Display
) -> None:
    config = dataclasses.replace(small_config(), precision="fp16")
    for name, looked in (("plain", False), ("looked", True)):
        changed = dataclasses.replace(config, log_norms=looked)
        run_to(tmp_path / name, changed, byte_data, quiet)
    losses = [[row["train_loss"] for row in rows(tmp_path / n)] for n in ("plain", "looked")]
    assert losses[0] == losses[1]
