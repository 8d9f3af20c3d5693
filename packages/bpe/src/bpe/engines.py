"""Which engine does the work: `reference` in plain Python, or `kernels` in compiled code.

Both give the same result. The kernels need the extra `bpe[fast]`, and are compiled at their first
use on a machine, which takes some seconds; from then on they load in a tenth of one.
"""

import importlib.util
from typing import Literal, get_args

Engine = Literal["auto", "reference", "kernels"]
# What can also count, and encode files, on a cluster: the extra `bpe[ray]`.
TrainingEngine = Literal["auto", "reference", "kernels", "ray"]

# Training on less takes the reference about as long as loading the kernels.
KERNELS_FROM_BYTES = 256 << 10
# Training on less takes the reference about as long as compiling them.
COMPILE_FROM_BYTES = 16 << 20


def has_kernels() -> bool:
    """Whether the extra `bpe[fast]` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("numba", "llvmlite"))


def choose_engine(engine: TrainingEngine, num_bytes: int) -> Literal["reference", "kernels"]:
    """Return the engine to train on `num_bytes` with; "auto" takes the one that is done first.

    Raises ValueError for an unknown engine, and for "kernels" where they are not installed.
    """
    if engine not in get_args(Engine):
        names = ", ".join(map(repr, get_args(TrainingEngine)))
        hint = "only counts and encodes files" if engine == "ray" else f"is not one of {names}"
        raise ValueError(f"engine={engine!r} {hint}")
    if engine == "reference":
        return "reference"
    if not has_kernels():
        if engine == "kernels":
            raise ValueError('engine="kernels" needs numba: pip install numba')
        return "reference"
    if engine == "auto":
        if num_bytes < KERNELS_FROM_BYTES:
            return "reference"
        if num_bytes < COMPILE_FROM_BYTES:
            from bpe.kernels.library import is_compiled

            return "kernels" if is_compiled("training") else "reference"
    return "kernels"
