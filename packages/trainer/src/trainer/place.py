"""Which of several processes this one is, as its environment says.

torchrun sets the variables; with Slurm's srun, or by hand, one sets them oneself. Read before torch
is imported: a process by itself must not pay for what it does not use.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

RESTARTS = "TORCHELASTIC_MAX_RESTARTS"


@dataclass(frozen=True)
class Place:
    """One process of `size`; the first one, of rank 0, can be reached at `host`."""

    rank: int
    size: int
    local_rank: int | None
    """Counts the processes of one machine; decides which GPU is this one's."""
    host: str
    port: int
    restarts: int = 0
    """How often torchrun would start all processes again."""


def find_place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return the place of this process among several, None for one by itself.

    Raises ValueError with one line for variables that are missing or no numbers.
    """
    size = _number("WORLD_SIZE", environment.get("WORLD_SIZE", "1"))
    if size < 2:
        return None
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if name not in environment:
            raise ValueError(
                f"WORLD_SIZE={size} is set but {name} is not: start with torchrun, or set RANK, "
                f"WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT"
            )
    rank = _number("RANK", environment["RANK"])
    if rank >= size:
        raise ValueError(f"RANK={rank} is not below WORLD_SIZE={size}: ranks begin at 0")
    local_rank = environment.get("LOCAL_RANK")
    return Place(
        rank=rank,
        size=size,
        local_rank=None if local_rank is None else _number("LOCAL_RANK", local_rank),
        host=environment["MASTER_ADDR"],
        port=_number("MASTER_PORT", environment["MASTER_PORT"]),
        restarts=_number(RESTARTS, environment.get(RESTARTS, "0")),
    )


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"the environment variable {name}={text!r} is no number")
    return int(text)
