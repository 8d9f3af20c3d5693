"""Weights & Biases. `WANDB_PROJECT`, `WANDB_MODE=offline` and its other variables hold as usual."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import wandb

from trainer.config import TrainConfig
from trainer.run_directory import RunDirectory
from trainer.trackers.rows import PROJECT, identifier, numbers, settings

# Seconds that a run waits for the server when it begins and when it ends. What has not been sent by
# then lies in RUN/wandb, for `wandb sync`.
PATIENCE = 30


class WandbTracker:
    """A run of Weights & Biases, which a resumed run goes on with."""

    def __init__(self, config: TrainConfig, run: RunDirectory) -> None:
        with _nobody_to_ask():
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run.path.name,
                id=identifier(run),
                resume="allow",
                notes=config.objective or None,
                dir=run.path,
                config=settings(config),
                settings=wandb.Settings(
                    console="off",
                    silent=True,
                    init_timeout=PATIENCE,
                    finish_timeout=PATIENCE,
                    finish_timeout_raises=True,
                ),
            )

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log(numbers(row), step=row["step"])

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


@contextlib.contextmanager
def _nobody_to_ask() -> Iterator[None]:
    """Without a login wandb asks for one on a terminal, and a run would wait for ever."""
    terminal, sys.stdin = sys.stdin, io.StringIO()
    try:
        yield
    finally:
        sys.stdin = terminal
