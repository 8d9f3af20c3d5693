"""`trainer verify`: compare a run's checkpoints with their manifests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from trainer import checkpoints
from trainer.past_run import NO_SUCH_RUN
from trainer.run_directory import RunDirectory


@dataclass(frozen=True)
class VerifyFlags:
    """Compare a run's checkpoints with their manifests.

    Example: trainer verify runs/tiny-001
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = tyro.MISSING
    """Directory of a run."""


def verify_command(flags: VerifyFlags) -> None:
    """Check every file; raise CorruptCheckpointError, after all are named, if one is damaged."""
    if not flags.run.is_dir():
        raise ValueError(f"{flags.run}: {NO_SUCH_RUN}")
    run = RunDirectory(flags.run)
    found = checkpoints.steps(run.checkpoints)
    if not found:
        raise ValueError(f"{flags.run} holds no checkpoint")
    corrupt = 0
    for directory in found:
        try:
            checkpoint = checkpoints.verify(directory)
        except checkpoints.CorruptCheckpointError as error:
            corrupt += 1
            print(f"{directory}: {error}")
        else:
            print(f"{directory}: step {checkpoint.step}, size and SHA-256 of every file are right")
    if corrupt:
        raise checkpoints.CorruptCheckpointError(
            f"{corrupt} of {len(found)} checkpoints of {flags.run} are corrupt; "
            f"train goes on from the last one that is not"
        )
