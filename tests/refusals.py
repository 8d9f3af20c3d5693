"""Saves that the system refuses, for real: no permission, no room, a disk that is read-only.

Run as a program, it uses up and locks the disk that it stands on. See `warm_process`.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from kills import module_and_optimizer
from warm_process import fork, wait

from trainer import checkpoints, retention, run_lock
from trainer.checkpoints import Counters

NOBODY, BLOCK = 65534, 4096
MOUNT = ["unshare", "--user", "--map-root-user", "--mount"]


def can_mount() -> bool:
    """Say whether this system lets us mount a disk of our own."""
    try:
        return subprocess.run([*MOUNT, "mount", "-t", "tmpfs", "x", "/tmp"]).returncode == 0
    except FileNotFoundError:
        return False


def on_a_small_disk(
    directory: Path, size: str, *command: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command in `directory`, where it finds an empty disk that nobody else sees."""
    mounted = f'mount -t tmpfs -o size={size} x "$0" && cd "$0" && exec "$@"'
    return subprocess.run(
        [*MOUNT, "sh", "-c", mounted, str(directory), *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def save_on_this_disk() -> dict[str, str]:
    """Save in the working directory while there is less and less room; return what was said.

    "none": less than is needed; "little": as much as the tensors need, but not the archives.
    """
    root = Path("checkpoints")
    root.mkdir()
    for step in (3, 5):
        _save(root, step)
    said = {}
    for case, free in (("little", 4), ("none", 0)):
        Path(f"filler-{case}").write_bytes(bytes(shutil.disk_usage(root).free - free * BLOCK))
        said[case] = _said(_save, root)
        Path(f"filler-{case}").unlink()
    subprocess.run(["mount", "-o", "remount,ro", "."], check=True)
    said["read-only"] = _said(_save, root)
    said["checkpoints"] = " ".join(sorted(path.name for path in root.iterdir()))
    said["last"] = str(checkpoints.verify(checkpoints.steps(root)[-1]).step)
    return said


def save_without_permission(root: str, mode: int) -> str:
    """Save below `root` where no more than `mode` is permitted; return what was said."""
    return _as_nobody(root, mode, _save)


def hold_without_permission(root: str, mode: int) -> str:
    """Lock a run directory below `root`; return what was said."""
    return _as_nobody(root, mode, _hold)


def find_without_permission(root: str, mode: int) -> str:
    """Look below `root` for a checkpoint to go on from; return what was said."""
    return _as_nobody(root, mode, retention.find_last_good)


def _as_nobody(root: str, mode: int, work: Callable[[Path], object]) -> str:
    reading, writing = os.pipe()

    def child() -> None:
        os.chdir(root)
        Path("checkpoints").chmod(mode)
        if os.geteuid() == 0:
            # To the administrator everything is permitted.
            Path().chmod(0o711)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        os.write(writing, _said(work, Path("checkpoints")).encode())

    wait(fork(child))
    Path(root, "checkpoints").chmod(0o755)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        return file.read().decode()


def _said(work: Callable[[Path], object], root: Path) -> str:
    try:
        work(root)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def _save(root: Path, step: int = 7) -> None:
    model, optimizer = module_and_optimizer(rows=13)
    checkpoints.save(root, model, [optimizer], counters=Counters(step, 7, 0.5), identity={})


def _hold(root: Path) -> None:
    with run_lock.hold(root):
        pass


if __name__ == "__main__":
    print(json.dumps(save_on_this_disk()))
