"""NaN and infinity stop a run before they reach the weights."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from nn import TransformerLM
from trainer import checkpoints, loop, retention
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.loop import train
from trainer.nonfinite import NonFiniteError
from trainer.optimization import learning_rate_factor
from trainer.prepared import PreparedData
from trainer.run_directory import RunDirectory

WEIGHTS = ["ln_final.weight", "layers.1.attn.q_proj.weight", "layers.0.ffn.w2.weight"]
# What is planted, into what, and at which step.
PLANTED = [
    (kind, name, value, step)
    for kind, names in (("weight", WEIGHTS), ("gradient", WEIGHTS), ("loss", ["", "", "", ""]))
    for name in names
    for value, step in ((math.nan, 3), (math.inf, 4), (-math.inf, 7))
]
MORE = [*WEIGHTS[1:], "layers.1.ln1.weight", "lm_head.weight", "layers.1.ffn.w3.weight"]
PLANTED_LONG = [
    (kind, name, value, step)
    for kind in ("weight", "gradient")
    for name in MORE
    for value in (math.nan, math.inf, -math.inf)
    for step in (2, 3, 4, 5, 6)
]
Plant = Callable[[str, str, float, int], None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Spoil one number at one step of the runs that follow."""

    def arrange(kind: str, name: str, value: float, at: int) -> None:
        build = loop.build
        steps = 0

        def build_planted(
            config: TrainConfig, device: torch.device
        ) -> tuple[TransformerLM, list[Optimizer]]:
            model, optimizers = build(config, device)
            loss_of = model.loss

            def loss(inputs: Tensor, targets: Tensor) -> Tensor:
                nonlocal steps
                steps += 1
                if kind == "weight" and steps == at:
                    with torch.no_grad():
                        dict(model.named_parameters())[name].view(-1)[5] = value
                found = loss_of(inputs, targets)
                return found * value if kind == "loss" and steps == at else found

            def spoil(gradient: Tensor) -> Tensor:
                if steps == at:
                    gradient = gradient.clone()
                    gradient.view(-1)[5] = value
                return gradient

            if kind == "gradient":
                dict(model.named_parameters())[name].register_hook(spoil)  # type: ignore[no-untyped-call]
            model.loss = loss  # type: ignore[method-assign,assignment]
            return model, optimizers

        monkeypatch.setattr(loop, "build", build_planted)

    return arrange


def run(path: Path, config: TrainConfig, data: PreparedData, display: Display) -> None:
    path.mkdir(exist_ok=True)
    train(config, RunDirectory(path), data, torch.device("cpu"), display, identity={})


def check_stop(
    path: Path,
    config: TrainConfig,
    data: PreparedData,
    display: Display,
    kind: str,
    name: str,
    step: int,
) -> None:
    """Train to the planted number; look at what is said of it and at what is left."""
    rate = learning_rate_factor(step, config.schedule, config.max_steps)
    with pytest.raises(NonFiniteError) as caught:
        run(path, config, data, display)
    told = str(caught.value)
    assert told.startswith(f"step {step}: ")
    assert f"learning rate {rate * config.optimizer.lr:.3g}" in told
    assert "gradient norm" in told
    assert f"last good step {step - 1}" in told
    bad = {"weight": name, "gradient": f"gradient of {name}", "loss": "gradient of "}[kind]
    assert f"first bad tensor: {bad}" in told
    found, damaged = retention.find_last_good(path / "checkpoints")
    assert found is not None
    assert not damaged
    saved = load_file(found.directory / checkpoints.MODEL)
    assert all(bool(tensor.isfinite().all()) for tensor in saved.values())


@pytest.mark.parametrize(("kind", "name", "value", "step"), PLANTED)
def test_bad_number_stops_the_run_before_the_update(
    tmp_path: Path,
    small_config: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
    plant: Plant,
    kind: str,
    name: str,
    value: float,
    step: int,
) -> None:
    plant(kind, name, value, step)
    check_stop(tmp_path / "run", small_config, byte_data, quiet, kind, name, step)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "name", "value", "step"), PLANTED_LONG)
def test_bad_number_anywhere_stops_the_run_before_the_update(
    tmp_path: Path,
    small_config: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
    plant: Plant,
    kind: str,
    name: str,
    value: float,
    step: int,
) -> None:
    plant(kind, name, value, step)
    config = dataclasses.replace(
        small_config, checkpoint=dataclasses.replace(small_config.checkpoint, every=1)
    )
    check_stop(tmp_path / "run", config, byte_data, quiet, kind, name, step)


def test_last_good_step_is_saved(
    tmp_path: Path,
    small_config: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
    plant: Plant,
) -> None:
    plant("gradient", WEIGHTS[0], math.nan, 6)
    with pytest.raises(NonFiniteError, match=r"last good step 5; saved step 5 in \d+\.\d s$"):
        run(tmp_path / "run", small_config, byte_data, quiet)
    found, _ = retention.find_last_good(tmp_path / "run/checkpoints")
    assert found is not None
    assert found.step == 5


def test_bad_update_is_left_out_and_counted_on_request(
    tmp_path: Path,
    small_config: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
    plant: Plant,
) -> None:
    plant("gradient", WEIGHTS[0], math.nan, 4)
    skipping = dataclasses.replace(small_config, on_nonfinite="skip")
    run(tmp_path / "run", skipping, byte_data, quiet)
    rows = list(RunDirectory(tmp_path / "run").read_metrics())
    assert [row.get("skipped", 0) for row in rows] == [0, 0, 0, 1, 1, 1, 1]
    assert math.isfinite(rows[-1]["train_loss"])


def test_bad_weight_is_not_skipped(
    tmp_path: Path,
    small_config: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
    plant: Plant,
) -> None:
    plant("weight", WEIGHTS[0], math.nan, 4)
    skipping = dataclasses.replace(small_config, on_nonfinite="skip")
    with pytest.raises(NonFiniteError, match=f"first bad tensor: {WEIGHTS[0]}"):
        run(tmp_path / "run", skipping, byte_data, quiet)


def test_what_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    from small_run import small_config

    from trainer.optimization import build_optimizers

    config = small_config()
    model = TransformerLM(config.model)
    optimizers = build_optimizers(model, config.optimizer)
    with torch.no_grad():
        model.lm_head.weight[2, 3] = math.inf
    with pytest.raises(NonFiniteError, match=r"step 3 is not saved: lm_head\.weight holds"):
        checkpoints.save(
            tmp_path, model, optimizers, counters=checkpoints.Counters(3, 5, 0.5), identity={}
        )
    assert list(tmp_path.iterdir()) == []
