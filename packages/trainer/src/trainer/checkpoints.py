"""The checkpoints of a run: directories that are whole or absent, and say what they hold.

    checkpoints/step-000001000/
        model.safetensors   the weights
        optimizer.pt        optimizers, counters, generators: tensors and plain data
        MANIFEST.json       size and SHA-256 of both, the hashes of config, tokenizer and data

A checkpoint is written to a temporary sibling, every file is flushed to the disk, and the sibling
is renamed once. A kill at any moment therefore leaves the checkpoint before it, or this one.
The manifest finds damage. It is no signature: whoever can write here can write a manifest too.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import Module
from torch.optim import Optimizer

from nn.saving import write_tensors
from nn.staging import sync
from trainer import restoring
from trainer.archives import CorruptCheckpointError as CorruptCheckpointError
from trainer.archives import check_archive, load_plain
from trainer.disk import NO_SPACE
from trainer.nonfinite import NonFiniteError
from trainer.restoring import Counters as Counters

FORMAT = 3
MODEL, OPTIMIZER, MANIFEST = "model.safetensors", "optimizer.pt", "MANIFEST.json"
PREFIX = "step-"
# Being written; being deleted; and the older of two of one step while the newer takes its name.
UNFINISHED, DELETED, REPLACED = ".unfinished-", ".deleted-", ".replaced-"
# What the two archives and the manifest take beside the tensors themselves, per tensor.
OVERHEAD = 1024


class SaveError(OSError):
    """A checkpoint that could not be written; those before it are as they were."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on the disk that has been compared with its manifest."""

    directory: Path
    step: int
    identity: Mapping[str, str]
    """Hashes of what the checkpoint belongs to: config, tokenizer, data."""
    val_loss: float | None
    """The validation loss of these very weights, where they were evaluated."""


def save(
    root: Path,
    model: Module,
    optimizers: Sequence[Optimizer],
    *,
    counters: Counters,
    identity: Mapping[str, str],
    val_loss: float | None = None,
) -> Path:
    """Write a checkpoint below the directory `root`; return its directory.

    It replaces one of the same step, which a longer run may have left after being cut back. Raises
    SaveError if it cannot be written, and NonFiniteError, before anything is, for numbers that
    are not finite, which no run could go on from.
    """
    weights = restoring.collect_weights(model)
    state = restoring.collect_state(model, optimizers, counters)
    tensors = weights | restoring.state_tensors(state["optimizers"])
    if bad := restoring.first_not_finite(tensors):
        raise NonFiniteError(
            f"step {counters.step} is not saved: {bad} holds numbers that are not finite"
        )
    final = root / f"{PREFIX}{counters.step:09d}"
    temporary = root / f"{UNFINISHED}{final.name}"
    needed = sum(tensor.nbytes + OVERHEAD for tensor in tensors.values())
    try:
        # A disk that is filled to the brim stops more than this run.
        if shutil.disk_usage(root).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        delete(temporary)
        temporary.mkdir()
        write_tensors(temporary / MODEL, weights)
        sync(temporary / MODEL)
        with (temporary / OPTIMIZER).open("wb") as file:
            torch.save(state, file)
        sync(temporary / OPTIMIZER)
        manifest = {
            "format": FORMAT,
            "step": counters.step,
            "val_loss": val_loss,
            "files": {name: _describe(temporary / name) for name in (MODEL, OPTIMIZER)},
            "identity": dict(identity),
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        sync(temporary / MANIFEST)
        sync(temporary)
        _rename(temporary, final)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            delete(temporary)
        raise SaveError(_why_not_saved(root, counters.step, needed, error)) from error
    return final


def steps(root: Path) -> list[Path]:
    """Return the finished checkpoints below `root`, earliest first.

    Raises PermissionError, which a glob would not, for a directory that cannot be read.
    """
    if not root.exists():
        return []
    return sorted(p for p in root.iterdir() if p.name.startswith(PREFIX) and p.is_dir())


def discard(directory: Path, name: str) -> None:
    """Delete a finished checkpoint that is not needed any more, as far as that can be done.

    It is renamed first: what a kill leaves of it must not be taken for a checkpoint. What cannot be
    deleted now is deleted at the next start.
    """
    number = 1
    while (doomed := directory.with_name(f"{DELETED}{name}.{number}")).exists():
        number += 1
    directory.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def delete(directory: Path) -> None:
    """Delete a directory if there is one."""
    if directory.exists():
        shutil.rmtree(directory)


def verify(directory: Path) -> Checkpoint:
    """Compare a checkpoint with its manifest, and its archive with what an archive may hold.

    Raises CorruptCheckpointError that names the first file of the wrong size or hash.
    """
    step = directory.name.removeprefix(PREFIX).lstrip("0") or "0"
    corrupt = f"checkpoint step-{step} is corrupt:"
    try:
        manifest: Any = json.loads((directory / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise ValueError(f"format is {manifest['format']!r:.20}, this version reads {FORMAT}")
        described = [(name, manifest["files"][name]) for name in (MODEL, OPTIMIZER)]
        expected = [(name, int(d["size"]), str(d["sha256"])) for name, d in described]
        val_loss = None if manifest["val_loss"] is None else float(manifest["val_loss"])
        identity = {str(key): str(value) for key, value in manifest["identity"].items()}
        checkpoint = Checkpoint(directory, int(manifest["step"]), identity, val_loss)
        if directory.name != f"{PREFIX}{checkpoint.step:09d}":
            raise ValueError(f"it is of step {checkpoint.step}")
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError),
        *(OverflowError, RecursionError),
    ) as error:
        reason = f"{type(error).__name__}: {error!s:.200}"
        raise CorruptCheckpointError(
            f"{corrupt} its {MANIFEST} cannot be read ({reason})"
        ) from None
    for name, size, sha256 in expected:
        path = directory / name
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            raise CorruptCheckpointError(
                f"{corrupt} {name} has {found:,} bytes, manifest says {size:,}"
            )
        digest = _sha256(path)
        if digest != sha256:
            raise CorruptCheckpointError(
                f"{corrupt} {name} SHA-256 is {digest[:12]}.., manifest says {sha256[:12]}.."
            )
    with (directory / OPTIMIZER).open("rb") as file:
        check_archive(file, f"{corrupt} {OPTIMIZER}", "optimizer")
    return checkpoint


def restore(checkpoint: Checkpoint, model: Module, optimizers: Sequence[Optimizer]) -> Counters:
    """Load a verified checkpoint into `model` and `optimizers`; return the run's counters.

    Raises CorruptCheckpointError, before anything is touched, for a state that does not fit them.
    """
    where = f"checkpoint {checkpoint.directory}"
    try:
        weights = load_file(checkpoint.directory / MODEL)
    except SafetensorError as error:
        raise CorruptCheckpointError(f"{where}: {MODEL}: {error!s:.200}") from None
    state = load_plain(checkpoint.directory / OPTIMIZER)
    restoring.check_weights(where, weights, model)
    counters = restoring.check_state(where, state, optimizers)
    if counters.step != checkpoint.step:
        raise CorruptCheckpointError(
            f"{where} is of step {counters.step}, its manifest says {checkpoint.step}"
        )
    restoring.apply(weights, state, model, optimizers)
    return counters


def _rename(temporary: Path, final: Path) -> None:
    """Give a finished checkpoint its name, so that at every moment it or an older one has it.

    Between the two renames below, `retention.tidy` finds the older one of the same step.
    """
    older = final.with_name(f"{REPLACED}{final.name}")
    if final.is_dir():
        delete(older)
        final.rename(older)
    temporary.rename(final)
    sync(final.parent)
    if older.exists():
        discard(older, older.name.removeprefix(REPLACED))


def _why_not_saved(root: Path, step: int, needed: int, error: Exception) -> str:
    reason = " ".join(str(error).split())
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and error.filename:
        reason = f"{error.strerror}: {error.filename}"
    if number in NO_SPACE or "No space left" in reason:
        free = shutil.disk_usage(root).free
        reason = f"needs {_megabytes(needed)}, {_megabytes(free)} free"
    return f"cannot save step {step}: {reason}; {_what_is_kept(root)}"


def _what_is_kept(root: Path) -> str:
    try:
        saved = steps(root)
    except OSError:
        return "earlier ones cannot be seen"
    return f"step {int(saved[-1].name.removeprefix(PREFIX))} is intact" if saved else "no other is"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.{0 if size >= 1e7 else 1}f} MB"


def _describe(path: Path) -> dict[str, int | str]:
    return {"size": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
