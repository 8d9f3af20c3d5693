"""Send the rows of metrics.jsonl to trackers, of which none can stop a run."""

import importlib.util
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Protocol

from trainer.config import TrainConfig
from trainer.display import Display
from trainer.run_directory import RunDirectory

LONGEST_REASON = 200


class Tracker(Protocol):
    """What a tracker can be asked for."""

    def log(self, row: Mapping[str, Any]) -> None: ...

    def close(self, *, failed: bool) -> None: ...


class Tracking:
    """Pass rows on to the trackers of a run; one that fails is told of once and asked no more."""

    def __init__(
        self, config: TrainConfig, run: RunDirectory, display: Display, *, first_step: int
    ) -> None:
        self._config = config
        self._run = run
        self._display = display
        self._first_step = first_step
        self._open: dict[str, Tracker] = {}

    def __enter__(self) -> "Tracking":
        for name in dict.fromkeys(self._config.track):
            try:
                self._open[name] = open_tracker(name, self._config, self._run, self._first_step)
            except Exception as reason:
                self._warn(name, reason)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name, tracker in self._open.items():
            try:
                tracker.close(failed=error is not None)
            except Exception as reason:
                self._warn(name, reason)

    def log(self, row: Mapping[str, Any]) -> None:
        """Send a row's numbers, under its step."""
        for name, tracker in list(self._open.items()):
            try:
                tracker.log(row)
            except Exception as reason:
                del self._open[name]
                self._warn(name, reason)

    def _warn(self, name: str, reason: Exception) -> None:
        text = " ".join(f"{type(reason).__name__}: {reason}".split())[:LONGEST_REASON]
        self._display.detail(f"{name} is off from here: {text}; metrics.jsonl goes on", "yellow")


def open_tracker(name: str, config: TrainConfig, run: RunDirectory, first_step: int) -> Tracker:
    """Start a tracker, or go on with what it has of the run, from `first_step` on."""
    # Each takes seconds to import.
    if name == "wandb":
        from trainer.trackers.to_wandb import WandbTracker

        return WandbTracker(config, run)
    if name == "trackio":
        from trainer.trackers.to_trackio import TrackioTracker

        return TrackioTracker(config, run)
    from trainer.trackers.to_tensorboard import TensorboardTracker

    return TensorboardTracker(config, run, first_step)


def check_trackers(names: Collection[str]) -> None:
    """Raise ValueError for a tracker that is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"--track {name} needs a package: uv pip install {name}")
