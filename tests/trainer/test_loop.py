"""The loop on a model of a few thousand weights: golden losses, resuming, parts of a batch."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from small_run import cut_after, rows, run_to, timeless, weights

from trainer import checkpoints
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.prepared import PreparedData

GOLDEN = Path(__file__).parent / "golden_losses.json"


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_losses_of_twenty_steps_are_the_golden_ones(
    tmp_path: Path,
    small_config: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
    optimizer: str,
) -> None:
    """Made by `python tests/trainer/make_golden_losses.py`; 1e-4 is the room for other CPUs."""
    config = dataclasses.replace(
        small_config,
        max_steps=20,
        optimizer=dataclasses.replace(small_config.optimizer, name=optimizer),  # type: ignore[arg-type]
    )
    run_to(tmp_path, config, byte_data, quiet)
    found = [row["train_loss"] for row in rows(tmp_path)]
    assert found == pytest.approx(json.loads(GOLDEN.read_text())[optimizer], rel=1e-4)


def test_small_batch_is_learnt_by_heart(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    model = dataclasses.replace(small_config.model, d_model=24)
    config = dataclasses.replace(small_config, max_steps=120, model=model)
    outcome = run_to(tmp_path, config, byte_data, quiet)
    # The alphabet leaves nothing to guess but where it begins and where a separator stands.
    assert outcome.train_loss < 0.1


def test_same_seed_gives_the_same_run(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    outcomes = [run_to(tmp_path / n, small_config, byte_data, quiet) for n in "ab"]
    assert timeless(tmp_path / "a") == timeless(tmp_path / "b")
    assert outcomes[0].samples == outcomes[1].samples


def test_another_seed_gives_another_run(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path / "a", small_config, byte_data, quiet)
    run_to(tmp_path / "b", dataclasses.replace(small_config, seed=6), byte_data, quiet)
    assert timeless(tmp_path / "a") != timeless(tmp_path / "b")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("cut", [2, 4, 6])
def test_resumed_run_is_the_uninterrupted_one_bit_by_bit(
    tmp_path: Path,
    small_config: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
    optimizer: str,
    cut: int,
) -> None:
    config = dataclasses.replace(
        small_config,
        optimizer=dataclasses.replace(small_config.optimizer, name=optimizer),  # type: ignore[arg-type]
        checkpoint=dataclasses.replace(small_config.checkpoint, keep=9),
    )
    run_to(tmp_path / "whole", config, byte_data, quiet)
    run_to(tmp_path / "cut", config, byte_data, quiet)
    # Later lines of the logs stay.
    cut_after(tmp_path / "cut", cut)
    run_to(tmp_path / "cut", config, byte_data, quiet, resume=True)
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    samples = [(tmp_path / n / "samples.md").read_text() for n in ("whole", "cut")]
    assert samples[0] == samples[1]


def test_batch_in_parts_has_the_gradients_of_the_whole(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    in_parts = dataclasses.replace(small_config, gradient_accumulation=3)
    run_to(tmp_path / "whole", small_config, byte_data, quiet)
    run_to(tmp_path / "parts", in_parts, byte_data, quiet)
    for whole, parts in zip(rows(tmp_path / "whole"), rows(tmp_path / "parts"), strict=True):
        assert parts["train_loss"] == pytest.approx(whole["train_loss"], rel=1e-5)
        assert parts["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)


def test_bfloat16_products_learn_much_the_same(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    half = dataclasses.replace(small_config, precision="bf16")
    run_to(tmp_path / "full", small_config, byte_data, quiet)
    run_to(tmp_path / "half", half, byte_data, quiet)
    full, halved = timeless(tmp_path / "full"), timeless(tmp_path / "half")
    assert full != halved
    for a, b in zip(full, halved, strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=2e-2)


def test_weights_stay_in_float32_under_bfloat16(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    config = dataclasses.replace(small_config, precision="bf16", max_steps=2)
    run_to(tmp_path, config, byte_data, quiet)
    assert {tensor.dtype for tensor in weights(tmp_path).values()} == {torch.float32}


def test_metrics_name_what_a_step_was(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, small_config, byte_data, quiet)
    found = rows(tmp_path)
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["tokens"] for row in found] == [n * 6 * 17 for n in range(1, 8)]
    assert [row["step"] for row in found if "val_loss" in row] == [3, 6, 7]
    for row in found:
        assert row["seconds"] > 0
        assert row["tokens_per_second"] > 0
        assert row["grad_norm"] > 0


def test_rates_are_those_of_the_schedule(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, small_config, byte_data, quiet)
    rates = [row["learning_rate"] for row in rows(tmp_path)]
    assert rates[:3] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])
    assert rates[-1] == pytest.approx(1e-3)


def test_logged_loss_is_that_before_the_first_step(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, small_config, byte_data, quiet)
    # Random weights know nothing, and the first logits are small.
    assert rows(tmp_path)[0]["train_loss"] == pytest.approx(math.log(257), rel=0.2)


def test_only_the_last_checkpoints_are_kept(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, small_config, byte_data, quiet)
    kept = [path.name for path in checkpoints.steps(tmp_path / "checkpoints")]
    assert kept == ["step-000000004", "step-000000006", "step-000000007"]


def test_model_directory_holds_the_last_weights(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    from nn import TransformerLM

    run_to(tmp_path, small_config, byte_data, quiet)
    model = TransformerLM.load(tmp_path / "model")
    for name, tensor in weights(tmp_path).items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_samples_are_written_at_their_steps(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, small_config, byte_data, quiet)
    text = (tmp_path / "samples.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == ["## Step 0", "## Step 5", "## Step 7"]


def test_checkpointed_activations_give_the_same_run_bit_by_bit(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    again = dataclasses.replace(small_config, activation_checkpointing=True)
    run_to(tmp_path / "kept", small_config, byte_data, quiet)
    run_to(tmp_path / "again", again, byte_data, quiet)
    assert timeless(tmp_path / "kept") == timeless(tmp_path / "again")


def test_evaluations_are_logged_in_every_unit(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, small_config, byte_data, quiet)
    for row in rows(tmp_path):
        assert ("val_loss" in row) == ("perplexity" in row) == ("bits_per_byte" in row)
    # Of the test's text every token is said to be one byte.
    assert row["perplexity"] == pytest.approx(math.exp(row["val_loss"]))
    assert row["bits_per_byte"] == pytest.approx(row["val_loss"] / math.log(2))
