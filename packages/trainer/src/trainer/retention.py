"""Which checkpoints of a run stay on the disk, and which one it goes on from.

The last few stay, and the best. What is to be deleted is renamed first, and what turns out to be
damaged is renamed only: at every moment there is one that a run can go on from.
"""

import json
import math
import shutil
from pathlib import Path

from trainer import checkpoints

CORRUPT = "corrupt-"


def tidy(root: Path) -> int:
    """Finish or undo what a killed process left half done; return how many saves it left so."""
    for path in root.glob(f"{checkpoints.REPLACED}*"):
        name = path.name.removeprefix(checkpoints.REPLACED)
        if (root / name).exists():
            checkpoints.discard(path, name)
        else:
            # Killed between two renames: the older one is all there is of this step.
            path.rename(root / name)
    for path in root.glob(f"{checkpoints.DELETED}*"):
        # What cannot be deleted takes room, and no more.
        shutil.rmtree(path, ignore_errors=True)
    unfinished = list(root.glob(f"{checkpoints.UNFINISHED}*"))
    for path in unfinished:
        checkpoints.delete(path)
    return len(unfinished)


def keep(root: Path, count: int) -> list[str]:
    """Delete all but the last `count` checkpoints and the one of the lowest validation loss.

    Returns a line for each that could not be deleted; that is no reason to stop a run.
    """
    found = checkpoints.steps(root)
    best = min(found, key=_val_loss, default=None)
    failures = []
    for path in found[:-count]:
        if path == best and math.isfinite(_val_loss(path)):
            continue
        try:
            checkpoints.discard(path, path.name)
        except OSError as error:
            failures.append(f"cannot delete the old checkpoint {path}: {error.strerror}")
    return failures


def best_loss(root: Path) -> float:
    """Return the lowest validation loss among the checkpoints, infinity where there is none."""
    return min((_val_loss(path) for path in checkpoints.steps(root)), default=math.inf)


def find_last_good(root: Path) -> tuple[checkpoints.Checkpoint | None, list[str]]:
    """Return the last checkpoint that is what its manifest says, and a line for each that is not.

    Those are set aside as `corrupt-step-N`. Where none is good, none is touched, and
    CorruptCheckpointError gives every reason; only where none was ever saved is the answer None.
    """
    reasons: list[str] = []
    bad: list[Path] = []
    for path in reversed(checkpoints.steps(root)):
        try:
            good = checkpoints.verify(path)
        except checkpoints.CorruptCheckpointError as error:
            reasons.append(str(error))
            bad.append(path)
            continue
        for damaged in bad:
            _set_aside(damaged)
        return good, [f"{reason}; using step-{good.step}" for reason in reasons]
    aside = sorted(path.name for path in root.glob(f"{CORRUPT}*"))
    if reasons or aside:
        reasons += [f"{name} was set aside earlier" for name in aside]
        raise checkpoints.CorruptCheckpointError(
            f"no checkpoint below {root} can be used: {'; '.join(reasons)}. "
            f"`--resume never` sets the run aside and begins again"
        )
    return None, []


def _set_aside(directory: Path) -> None:
    name, number = f"{CORRUPT}{directory.name}", 1
    while directory.with_name(name).exists():
        name, number = f"{CORRUPT}{directory.name}-{number + 1}", number + 1
    directory.rename(directory.with_name(name))


def _val_loss(directory: Path) -> float:
    """Return the validation loss in a manifest, infinity where there is none."""
    try:
        manifest = json.loads((directory / checkpoints.MANIFEST).read_bytes())
        loss = float(manifest["val_loss"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return math.inf
    return loss if math.isfinite(loss) else math.inf
