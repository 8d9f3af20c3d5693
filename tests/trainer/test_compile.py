"""A compiled run: how often it is compiled, and that it is the same run."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_run import rows, run_to
from torch._dynamo.utils import counters

from trainer.config import TrainConfig
from trainer.display import Display
from trainer.prepared import PreparedData


@pytest.fixture
def _traced_only() -> Iterator[None]:
    """Trace graphs as ever, but run them as they are: to translate them takes half a minute."""
    torch.compiler.reset()
    counters.clear()
    torch.compiler.set_default_backend("eager")
    yield
    torch.compiler.set_default_backend("inductor")
    torch.compiler.reset()


@pytest.mark.usefixtures("_traced_only")
@pytest.mark.parametrize(("checkpointing", "isolating"), [(False, False), (True, True)])
def test_loss_and_logits_are_compiled_once_each(
    tmp_path: Path,
    small_config: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
    checkpointing: bool,
    isolating: bool,
) -> None:
    """Evaluations have 4 windows and 11, in batches of 3: the last ones are smaller."""
    config = dataclasses.replace(
        small_config,
        compile="on",
        max_steps=4,
        model=dataclasses.replace(small_config.model, num_layers=1),
        gradient_accumulation=2,
        activation_checkpointing=checkpointing,
        data=dataclasses.replace(small_config.data, isolate_documents=isolating),
    )
    run_to(tmp_path / "compiled", config, byte_data, quiet)
    assert counters["stats"]["unique_graphs"] == 2
    eager = dataclasses.replace(config, compile="off")
    run_to(tmp_path / "eager", eager, byte_data, quiet)
    for a, b in zip(rows(tmp_path / "compiled"), rows(tmp_path / "eager"), strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)
        if "val_loss" in a:
            assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-5)
