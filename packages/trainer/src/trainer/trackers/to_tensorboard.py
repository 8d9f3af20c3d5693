"""TensorBoard: event files in RUN/tensorboard, which `tensorboard --logdir runs` shows."""

import json
from collections.abc import Mapping
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from trainer.config import TrainConfig
from trainer.run_directory import RunDirectory
from trainer.trackers.rows import numbers, settings


class TensorboardTracker:
    """A writer of event files; what an earlier part of the run wrote from `first_step` on goes."""

    def __init__(self, config: TrainConfig, run: RunDirectory, first_step: int) -> None:
        self._writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=first_step)
        text = json.dumps(settings(config), indent=2)
        indented = "\n".join(f"    {line}" for line in text.splitlines())
        self._writer.add_text("settings", indented, first_step)
        if config.objective:
            self._writer.add_text("objective", config.objective, first_step)

    def log(self, row: Mapping[str, Any]) -> None:
        for key, value in numbers(row).items():
            self._writer.add_scalar(key, value, row["step"])

    def close(self, *, failed: bool) -> None:
        self._writer.close()
