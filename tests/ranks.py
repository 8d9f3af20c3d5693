"""Functions for a warm process: several processes train one model, and one of them may be hit."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

# What a child of the warm process imports, it imports alone, and it takes seconds.
import torch._dynamo  # noqa: F401
from warm_process import fork, wait

import trainer.following
import trainer.loop
import trainer.plots
import trainer.session
import trainer.sharded  # noqa: F401
from trainer.cli import train_command


def train_together(
    directory: str,
    size: int,
    arguments: list[str],
    *,
    hit: dict[str, int] | None = None,
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run `train` with these arguments in `size` processes; return how each of them ended.

    `hit` names the rank that gets the signal `number` once `rows` steps have been logged. The
    result holds the exit statuses, what was printed, and the seconds from the signal (or the start)
    to the end of each process.
    """
    place = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    place |= environment or {}
    children = [
        fork(lambda rank=rank: _train(directory, arguments, place, rank))  # type: ignore[misc]
        for rank in range(size)
    ]
    begun = time.monotonic()
    if hit is not None:
        run = Path(directory, arguments[arguments.index("--run-dir") + 1])
        while not _has_rows(run / "metrics.jsonl", hit["rows"]):
            assert time.monotonic() < begun + 60
            time.sleep(0.002)
        begun = time.monotonic()
        os.kill(children[hit["rank"]], hit["number"])
    statuses, seconds = [], []
    for child in children:
        statuses.append(wait(child))
        seconds.append(time.monotonic() - begun)
    said = [
        {name: Path(directory, f"{name}-{rank}").read_text() for name in ("out", "err")}
        for rank in range(size)
    ]
    return {"statuses": statuses, "said": said, "seconds": max(seconds)}


def _train(directory: str, arguments: list[str], place: dict[str, str], rank: int) -> int:
    os.chdir(directory)
    os.environ.update(place, RANK=str(rank), LOCAL_RANK=str(rank))
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{name}-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    try:
        return train_command(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _has_rows(metrics: Path, count: int) -> bool:
    return metrics.exists() and metrics.read_bytes().count(b"\n") >= count


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
