"""Write a file so that its name never stands for half of it.

The bytes go to a temporary sibling, are forced to the disk, and then the sibling is renamed. A
process that is killed leaves at most its sibling behind; the next writer of that name removes it.
"""

import contextlib
import errno
import glob
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bpe.file_lock import lock

_SUFFIX = ".partial"


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for binary writing that takes the name `path` when the block ends well.

    When it does not, nothing is left, and what had that name before keeps it. An OSError of the
    block or of the writing (no space, no permission, ...) is raised again with `path` in it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")
    _check_ordinary(path)
    try:
        remove_abandoned(path)
        with temporary.open("x+b") as file:
            lock(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
            if sys.platform != "win32":
                # Before the lock falls, so that nobody takes the sibling for abandoned. Windows
                # renames no open file, but does not delete one either.
                temporary.replace(path)
        if sys.platform == "win32":
            temporary.replace(path)
        _sync_directory(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        ours = isinstance(error, OSError) and error.filename in (None, str(temporary))
        if isinstance(error, OSError) and ours and error.errno is not None:
            raise OSError(error.errno, f"cannot write: {error.strerror}", str(path)) from error
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file at once, by `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data)


def check_can_create(directory: Path) -> None:
    """Raise OSError now if `directory` could not be made, or not be written in."""
    nearest = next(path for path in [directory, *directory.absolute().parents] if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    try:
        # Permissions alone do not tell: nobody writes in /proc, or on a medium that is read-only.
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write in it: {error.strerror}", str(nearest)) from None


def check_can_write(path: Path) -> None:
    """Raise OSError now if `atomic_file` could not write `path`, its directory made first."""
    _check_ordinary(path)
    check_can_create(path.parent)


def _check_ordinary(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "cannot write: Is a directory", str(path))
    if path.exists() and not path.is_file():
        # The renaming would put a file in the place of a device or a pipe.
        raise OSError(errno.EINVAL, "cannot write: not an ordinary file", str(path))


def remove_abandoned(path: Path) -> None:
    """Delete the temporary siblings of `path` whose writers are dead."""
    for sibling in path.parent.glob(f".{glob.escape(path.name)}.*{_SUFFIX}"):
        # A living writer holds the lock; its file, or one of another user, stays.
        with contextlib.suppress(OSError):
            with sibling.open("rb") as file:
                lock(file.fileno())
                if sys.platform != "win32":
                    sibling.unlink()
            if sys.platform == "win32":
                sibling.unlink()


def _sync_directory(directory: Path) -> None:
    """Make a rename durable, where directories can be synced."""
    if sys.platform != "win32":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
