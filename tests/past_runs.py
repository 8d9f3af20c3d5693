"""Run directories as runs leave them, without the training."""

import math
from pathlib import Path
from typing import Any

from trainer.config import TrainConfig
from trainer.run_directory import RunDirectory, write_json


def write_run(
    path: Path,
    config: TrainConfig,
    *,
    steps: int = 23,
    started: str = "2026-11-20T08:00:00+00:00",
    exit: str = "finished",
    **record: Any,
) -> Path:
    """Write what a run of `steps` steps leaves behind; each fifth step has been evaluated."""
    path.mkdir(parents=True)
    run = RunDirectory(path)
    run.write_config(config)
    rows = [metrics_row(step, config.optimizer.lr) for step in range(1, steps + 1)]
    for row in rows:
        run.append_metrics(row)
    run.append_samples(0, ["nonsense"])
    run.append_samples(steps, [f"A story of {path.name}.\n\nIt ends.", "Another one."])
    result = {
        "steps": steps,
        "tokens": 7 * steps,
        "seconds": 0.5 * steps,
        "train_loss": rows[-1]["train_loss"],
        "val_loss": 1.5,
        "perplexity": math.exp(1.5),
        "bits_per_byte": 0.75,
        "entropy_floor": 0.4,
        "entropy_floor_bits_per_byte": 0.2,
        "above_floor": 1.1,
    }
    write_json(
        run.record,
        {
            "command": ["train", "--optimizer.lr", str(config.optimizer.lr), "--objective", "a b"],
            "git_commit": "0123456789abcdef0123456789abcdef01234567",
            "versions": {"python": "3.11.7", "torch": "2.15.0"},
            "machine": {"cpu": "a processor", "cores": 2, "device": "cpu"},
            "preset": "tiny",
            "started": started,
            "ended": "2026-11-20T09:00:00+00:00",
            "exit": exit,
            **({"result": result} if exit == "finished" else {}),
            **record,
        },
    )
    return path


def metrics_row(step: int, lr: float) -> dict[str, float]:
    """Return a row of metrics.jsonl whose losses fall, with some noise."""
    loss = 1 + 5 * math.exp(-step * lr) + 0.3 * math.sin(11 * step)
    row = {"step": step, "tokens": 7 * step, "seconds": 0.5 * step, "train_loss": loss}
    row |= {"learning_rate": lr, "grad_norm": 2 / step, "tokens_per_second": 14.0 + step % 3}
    if step % 5 == 0:
        row["val_loss"] = loss + 0.1
    return row
