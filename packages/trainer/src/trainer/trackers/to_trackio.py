"""trackio: a local database, by default in the cache of Hugging Face; `trackio show` opens it."""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import trackio

from trainer.config import TrainConfig
from trainer.run_directory import RunDirectory
from trainer.trackers.rows import PROJECT, identifier, numbers, settings


class TrackioTracker:
    """A run of trackio, which a resumed run goes on with."""

    def __init__(self, config: TrainConfig, run: RunDirectory) -> None:
        # It prints how to use it, in the middle of what we show.
        with contextlib.redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                project=PROJECT,
                name=f"{run.path.name}-{identifier(run)}",
                resume="allow",
                config=settings(config),
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log(numbers(row), step=row["step"])

    def close(self, *, failed: bool) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            trackio.finish()  # type: ignore[no-untyped-call]
