"""The checkpoints of a run: directories that are whole or absent, and say what they hold.

    checkpoints/step-000001000/
        model.safetensors   the weights
        optimizer.pt        the optimizers' states and the run's counters: tensors and plain data
        MANIFEST.json       size and SHA-256 of both, and the hashes of config, tokenizer and data

A checkpoint is written to a temporary sibling, every file is flushed to the disk, and the sibling
is renamed once. A kill at any moment therefore leaves the checkpoint before it, or this one.
The manifest finds damage. It is no signature: whoever can write here can write a manifest too.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import Module
from torch.optim import Optimizer

FORMAT = 1
MODEL, OPTIMIZER, MANIFEST = "model.safetensors", "optimizer.pt", "MANIFEST.json"
PREFIX, UNFINISHED = "step-", ".unfinished-"


@dataclass(frozen=True)
class Counters:
    """How far a run has come: steps taken, tokens seen, seconds in the loop."""

    step: int
    tokens: int
    seconds: float


class CorruptCheckpointError(ValueError):
    """A checkpoint whose files are not those that its manifest describes."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on the disk that has been compared with its manifest."""

    directory: Path
    step: int
    identity: Mapping[str, str]
    """Hashes of what the checkpoint belongs to: config, tokenizer, data."""


def save(
    root: Path,
    model: Module,
    optimizers: Sequence[Optimizer],
    *,
    counters: Counters,
    identity: Mapping[str, str],
) -> Path:
    """Write a checkpoint below `root`; return its directory.

    It replaces one of the same step, which a longer run may have left after being cut back.
    """
    root.mkdir(parents=True, exist_ok=True)
    final = root / f"{PREFIX}{counters.step:09d}"
    temporary = root / f"{UNFINISHED}{final.name}"
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir()
    save_file(_weights(model), temporary / MODEL)
    torch.save(
        {"optimizers": [o.state_dict() for o in optimizers], "counters": asdict(counters)},
        temporary / OPTIMIZER,
    )
    manifest = {
        "format": FORMAT,
        "step": counters.step,
        "files": {name: _describe(temporary / name) for name in (MODEL, OPTIMIZER)},
        "identity": dict(identity),
    }
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    for name in (MODEL, OPTIMIZER, MANIFEST):
        _flush(temporary / name)
    _flush(temporary)
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
    _flush(root)
    return final


def steps(root: Path) -> list[Path]:
    """Return the finished checkpoints below `root`, earliest first."""
    return sorted(path for path in root.glob(f"{PREFIX}*") if path.is_dir())


def remove_unfinished(root: Path) -> int:
    """Remove what killed processes left behind; return how many there were."""
    left = list(root.glob(f"{UNFINISHED}*"))
    for path in left:
        shutil.rmtree(path)
    return len(left)


def keep_last(root: Path, count: int) -> None:
    """Remove all but the last `count` checkpoints, the earliest first."""
    for path in steps(root)[:-count]:
        shutil.rmtree(path)


def verify(directory: Path) -> Checkpoint:
    """Compare a checkpoint with its manifest.

    Raises CorruptCheckpointError that names the first file of the wrong size or hash.
    """
    try:
        manifest: Any = json.loads((directory / MANIFEST).read_bytes())
        described = [(name, manifest["files"][name]) for name in (MODEL, OPTIMIZER)]
        expected = [(name, int(d["size"]), str(d["sha256"])) for name, d in described]
        checkpoint = Checkpoint(directory, int(manifest["step"]), dict(manifest["identity"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptCheckpointError(
            f"checkpoint {directory} is corrupt: its {MANIFEST} cannot be read "
            f"({type(error).__name__}: {error})"
        ) from None
    for name, size, sha256 in expected:
        path = directory / name
        found = path.stat().st_size if path.exists() else 0
        if found != size:
            raise CorruptCheckpointError(
                f"checkpoint {directory} is corrupt: {name} has {found:,} bytes, "
                f"its manifest says {size:,}"
            )
        digest = _sha256(path)
        if digest != sha256:
            raise CorruptCheckpointError(
                f"checkpoint {directory} is corrupt: {name} has SHA-256 {digest[:12]}.., "
                f"its manifest says {sha256[:12]}.."
            )
    return checkpoint


def restore(checkpoint: Checkpoint, model: Module, optimizers: Sequence[Optimizer]) -> Counters:
    """Load a verified checkpoint into `model` and `optimizers`; return the run's counters."""
    weights = load_file(checkpoint.directory / MODEL)
    # A tied weight is stored under one of its names.
    names = {id(p): name for name, p in model.state_dict(keep_vars=True).items()}
    missing = set(names.values()) - weights.keys()
    if missing or not weights.keys() <= model.state_dict().keys():
        raise CorruptCheckpointError(
            f"checkpoint {checkpoint.directory} holds other weights than the model: "
            f"{sorted(set(names.values()) ^ weights.keys())[0]!r} is on one side only"
        )
    model.load_state_dict(weights, strict=False)
    state = torch.load(checkpoint.directory / OPTIMIZER, map_location="cpu", weights_only=True)
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return Counters(**state["counters"])


def _weights(model: Module) -> dict[str, torch.Tensor]:
    """Return the state dict with every tensor once: safetensors refuses shared memory."""
    unique = {id(p): (name, p) for name, p in model.state_dict(keep_vars=True).items()}
    return {name: p.detach().contiguous() for name, p in unique.values()}


def _describe(path: Path) -> dict[str, int | str]:
    return {"size": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    # Directories too: without it a rename may not survive a power cut. Windows cannot open them.
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
