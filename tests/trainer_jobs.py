"""The main job of the trainer made small, and what its tests read from a run directory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainer.run_directory import RunDirectory

SMALL_MODEL = [
    "--model.context-length=32",
    "--model.d-model=16",
    "--model.num-layers=1",
    "--model.num-heads=2",
    "--model.d-ff=24",
    "--batch-size=2",
    "--log-every=1",
    "--checkpoint.every=2",
    "--sample.max-tokens=7",
]
SMALL_JOB = [
    *SMALL_MODEL,
    "--data.stories-bytes=40000",
    "--data.vocab-size=300",
    "--max-steps=6",
    "--eval.every=3",
    "--eval.windows=3",
    "--eval.final-windows=5",
    "--sample.every=3",
]


def start(*flags: str, cwd: Path | None = None) -> "subprocess.Popen[str]":
    """Start the real command `train` in a process of its own."""
    script = Path(sys.executable).parent / "train"
    return subprocess.Popen(
        [str(script), *flags],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def losses(run: Path) -> list[tuple[int, float, float | None]]:
    """Return step, training loss and validation loss of every logged step."""
    rows = RunDirectory(run).read_metrics()
    return [(row["step"], row["train_loss"], row.get("val_loss")) for row in rows]


def record(run: Path) -> dict[str, Any]:
    """Return run.json."""
    content: dict[str, Any] = json.loads((run / "run.json").read_text())
    return content
