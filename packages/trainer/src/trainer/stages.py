"""Work in stages that goes on after the last finished one, however it was interrupted.

The stages write into one directory, and a record there says which are finished. Files of a stage
that is not finished are thrown away: nothing half-written is ever read.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bpe.atomic_file import write_atomically
from bpe.file_lock import HAS_FLOCK, lock

Facts = Mapping[str, Any]
"""What a stage found, as plain data: later stages need it, even in another process."""

RECORD = "stages.json"


class Stages:
    """The stages of what is made in `directory`; `key` says what that is.

    Stages of another key, or with a record that cannot be read, are begun anew.
    """

    def __init__(self, directory: Path, key: str) -> None:
        self._directory = directory
        self._key = key
        self._done: dict[str, dict[str, Any]] = {}
        unreadable = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
        with contextlib.suppress(*unreadable):
            content = json.loads((directory / RECORD).read_bytes())
            if content["key"] == key:
                self._done = {
                    name: {"outputs": list(stage["outputs"]), "facts": dict(stage["facts"])}
                    for name, stage in content["done"].items()
                }
        self.discard_unfinished()

    @property
    def finished(self) -> Sequence[str]:
        """The names of the finished stages, in order."""
        return list(self._done)

    def run(self, name: str, outputs: Sequence[str], make: Callable[[], Facts]) -> Facts:
        """Return the facts of a stage, after `make` has found them and written `outputs`.

        `make` is not called if the stage is finished.
        """
        if name not in self._done:
            found = dict(make())
            for output in outputs:
                flush(self._directory / output)
            self._done[name] = {"outputs": list(outputs), "facts": found}
            self._write()
        facts: Facts = self._done[name]["facts"]
        return facts

    def discard_unfinished(self) -> None:
        """Delete all files but those of finished stages; the directory too where there is none."""
        kept = {RECORD, *(o for stage in self._done.values() for o in stage["outputs"])}
        for path in self._directory.iterdir():
            if path.name not in kept:
                delete(path)
        if not self._done:
            (self._directory / RECORD).unlink(missing_ok=True)

    def _write(self) -> None:
        content = json.dumps({"key": self._key, "done": self._done}, indent=1) + "\n"
        write_atomically(self._directory / RECORD, content.encode())


@contextlib.contextmanager
def exclusive(directory: Path, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Make `directory` and be the only process in it; yield whether it is still there.

    Where another process holds it, `on_wait` is called, and the block waits for its end. It has
    then been renamed or removed, unless that process was killed. Windows locks no directories:
    there, nobody waits.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not HAS_FLOCK:
        yield True
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            lock(descriptor)
        except BlockingIOError:
            on_wait()
            lock(descriptor, wait=True)
        except OSError:
            # A file system without locks; better to go on without one than not at all.
            pass
        yield _is_still(descriptor, directory)
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Force a file, or all files of a directory, to the disk."""
    for file in path.iterdir() if path.is_dir() else (path,):
        with file.open("r+b") as opened:
            os.fsync(opened.fileno())


def delete(path: Path) -> None:
    """Delete a file or a directory."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_still(descriptor: int, directory: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), directory.stat())
    except FileNotFoundError:
        return False
