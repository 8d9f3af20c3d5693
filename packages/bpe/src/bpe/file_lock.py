"""Lock an open file against other processes.

The system lifts the lock when the file is closed or its holder ends, however that happens: a file
that a killed process left behind locks nothing. By flock, or by msvcrt.locking on Windows.
"""

import errno
import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

HAS_FLOCK = find_spec("fcntl") is not None
"""Where it is missing, directories cannot be locked."""

# Windows lets nobody else read what is locked; no file of ours has a byte there.
_UNUSED_BYTE = 1 << 30


def lock(descriptor: int, *, wait: bool = False) -> None:
    """Lock an open file or directory.

    While another process holds it, wait (with flock alone), or raise BlockingIOError. Raises
    another OSError where the file system has no locks.
    """
    if HAS_FLOCK:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    else:
        _lock_byte(descriptor)


def _lock_byte(descriptor: int) -> None:
    msvcrt: Any = import_module("msvcrt")
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, _UNUSED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EDEADLK):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        raise
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)
