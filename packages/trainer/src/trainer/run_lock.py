"""One run directory, one writer: a lock that the kernel lifts when its holder ends, however.

`run.lock` in the directory says who holds it. The lock is on the open file, not the file's
existence: a file that a killed process left behind locks nothing.
"""

import contextlib
import datetime
import errno
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bpe.file_lock import lock
from trainer.disk import NO_SPACE, NoSpaceError

NAME = "run.lock"


class RunLockedError(ValueError):
    """Another process writes to the run directory."""


def check_free(directory: Path) -> None:
    """Raise RunLockedError if a process holds the directory; leave no trace."""
    try:
        with (directory / NAME).open("rb") as file:
            _lock(file, directory)
    except (FileNotFoundError, NotADirectoryError):
        return


@contextlib.contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Make the directory and be its only writer within the block.

    Raises RunLockedError that names the holder, ValueError if the directory cannot be written, and
    NoSpaceError if the disk is full. A directory in which nothing was made is gone after the block.
    """
    made = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = _open_locked(directory)
    except OSError as error:
        if made:
            _remove_empty(directory)
        raise _unwritable(directory, error) from None
    try:
        _write_holder(file, directory)
        yield
    finally:
        # Not if the directory was renamed and another one took its place.
        ours = _is_same(file, directory / NAME)
        if sys.platform == "win32":
            # Where no open file can be deleted.
            file.close()
        with contextlib.suppress(OSError):
            if ours:
                (directory / NAME).unlink()
        if made:
            _remove_empty(directory)
        file.close()


def _open_locked(directory: Path) -> IO[bytes]:
    path = directory / NAME
    while True:
        file = path.open("a+b", buffering=0)
        try:
            _lock(file, directory)
            # The one before may have removed the file between the two lines above.
            if _is_same(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _write_holder(file: IO[bytes], directory: Path) -> None:
    try:
        file.truncate(0)
        content = json.dumps(_holder()).encode()
        if file.write(content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise _unwritable(directory, error) from None


def _unwritable(directory: Path, error: OSError) -> Exception:
    full = error.errno in NO_SPACE
    words = (
        f"run_dir {directory} cannot be written ({error.strerror}): "
        f"{'make room' if full else 'mend that'} or give another --run-dir"
    )
    return NoSpaceError(error.errno, words) if full else ValueError(words)


def _remove_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()


def _lock(file: IO[bytes], directory: Path) -> None:
    try:
        lock(file.fileno())
    except BlockingIOError:
        file.seek(0)
        raise RunLockedError(
            f"run_dir {directory} is in use by {_describe(file.read())}: "
            f"wait for its end or give another --run-dir"
        ) from None
    except OSError:
        # A file system without locks; better a run without one than no run.
        return


def _holder() -> dict[str, str | int]:
    since = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return {"pid": os.getpid(), "host": platform.node(), "since": since}


def _describe(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _is_same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
