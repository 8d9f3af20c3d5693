"""What trackers are given: a row's numbers, the settings, and a name that a resumed run keeps."""

import math
import secrets
from collections.abc import Mapping
from typing import Any

from trainer.config import TrainConfig
from trainer.run_directory import RunDirectory, read_json, write_json
from trainer.settings import flatten, to_mapping

PROJECT = "trainer"


def numbers(row: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the finite numbers of a row, but for its step; of NaN metrics.jsonl tells."""
    return {
        key: value
        for key, value in row.items()
        if key != "step" and isinstance(value, int | float) and math.isfinite(value)
    }


def settings(config: TrainConfig) -> dict[str, Any]:
    """Return the configuration flat: `optimizer.lr` to its value."""
    return dict(flatten(to_mapping(config)))


def identifier(run: RunDirectory) -> str:
    """Return the random name under which trackers know a run, over all of its parts."""
    path = run.path / "tracking.json"
    if not path.exists():
        write_json(path, {"id": secrets.token_hex(6)})
    return str(read_json(path)["id"])
