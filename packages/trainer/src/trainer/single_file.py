"""A checkpoint in one file, for scripts: model, optimizer and iteration, and no more.

It has no manifest: the checksums inside the archive find damage, and a file is whole or absent.
Runs keep their own checkpoints in directories: see `trainer.checkpoints`.
"""

from os import PathLike
from pathlib import Path
from typing import IO, Any

import torch
from torch.nn import Module
from torch.optim import Optimizer

from bpe.atomic_file import atomic_file
from trainer.archives import CorruptCheckpointError, load_plain
from trainer.restoring import check_optimizer, check_weights


def save_checkpoint(
    model: Module, optimizer: Optimizer, iteration: int, out: str | PathLike[str] | IO[bytes]
) -> None:
    """Write the states of both and the iteration to a path or an open binary file.

    What a path held before stays until the new file is whole. Raises OSError that names it.
    """
    state: dict[str, Any] = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "iteration": iteration,
    }
    if isinstance(out, str | PathLike):
        with atomic_file(Path(out)) as file:
            torch.save(state, file)
    else:
        torch.save(state, out)


def load_checkpoint(
    src: str | PathLike[str] | IO[bytes], model: Module, optimizer: Optimizer
) -> int:
    """Restore what `save_checkpoint` wrote into `model` and `optimizer`; return the iteration.

    A file cannot run code: it is read as plain data. Raises CorruptCheckpointError (a ValueError),
    before anything is touched, for a file that is damaged, foreign, or of another model.
    """
    where = str(src) if isinstance(src, str | PathLike) else "checkpoint"
    state = load_plain(src)
    if not isinstance(state, dict) or not {"model", "optimizer", "iteration"} <= state.keys():
        raise CorruptCheckpointError(f"{where}: not a checkpoint of save_checkpoint")
    weights, iteration = state["model"], state["iteration"]
    if not isinstance(weights, dict) or type(iteration) is not int:
        raise CorruptCheckpointError(f"{where}: not a checkpoint of save_checkpoint")
    check_weights(where, weights, model)
    check_optimizer(where, state["optimizer"], optimizer)
    model.load_state_dict(weights)
    optimizer.load_state_dict(state["optimizer"])
    return iteration
