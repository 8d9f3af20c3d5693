"""A checkpoint in one file, for scripts: model, optimizer and iteration, and no more.

It is as simple as it looks: written in place and without a checksum. Runs keep their own
checkpoints in directories that survive a kill: see `trainer.checkpoints`.
"""

from os import PathLike
from typing import IO, Any

import torch
from torch.nn import Module
from torch.optim import Optimizer


def save_checkpoint(
    model: Module, optimizer: Optimizer, iteration: int, out: str | PathLike[str] | IO[bytes]
) -> None:
    """Write the states of both and the iteration to a path or an open binary file."""
    state: dict[str, Any] = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "iteration": iteration,
    }
    torch.save(state, out)


def load_checkpoint(
    src: str | PathLike[str] | IO[bytes], model: Module, optimizer: Optimizer
) -> int:
    """Restore what `save_checkpoint` wrote into `model` and `optimizer`; return the iteration.

    Only plain data is unpickled (`weights_only`): a file cannot run code. Raises ValueError for a
    file that holds something else.
    """
    state = torch.load(src, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not {"model", "optimizer", "iteration"} <= state.keys():
        raise ValueError(f"{src}: not a checkpoint of save_checkpoint")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["iteration"])
