"""Make this process like one on Windows: no POSIX modules, and no such names in os and signal.

What a file is locked with there is stood in for. It is no Windows: paths, terminals, open files
and the starting of processes are as they were, and the libraries are those for POSIX.
Names stay that the standard library itself needs here: statvfs, sendfile, WNOHANG, SIGKILL.
"""

import ast
import contextlib
import errno
import fcntl
import importlib
import os
import pkgutil
import signal
import sys
import types
from collections.abc import Callable

from workspace.project import PACKAGES, imported_modules, sources

MODULES = ("fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
OS_NAMES = (
    *("chown", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups"),
    *("getloadavg", "getpgid", "getpgrp", "getsid", "getuid", "initgroups", "killpg", "mkfifo"),
    *("mknod", "nice", "posix_fadvise", "posix_fallocate", "posix_spawn", "pread", "pwrite"),
    *("register_at_fork", "sched_getaffinity", "sched_setaffinity", "sched_yield", "setgid"),
    *("setgroups", "setpgid", "setsid", "setuid", "sync", "sysconf", "uname", "wait3", "wait4"),
)
SIGNAL_NAMES = (
    *("ITIMER_REAL", "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGSTOP"),
    *("SIGTSTP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGXFSZ", "alarm", "pause", "pthread_kill"),
    *("pthread_sigmask", "setitimer", "siginterrupt", "sigpending", "sigwait"),
)


def hide_posix() -> None:
    """Take away what Windows does not have, and add its way to lock a file."""
    _import_libraries()
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    sys.modules["msvcrt"] = _msvcrt(fcntl.flock)
    for module, names in ((os, OS_NAMES), (signal, SIGNAL_NAMES)):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)


def import_ours() -> int:
    """Import all modules of our packages; return how many there are."""
    names = [
        module.name
        for package in PACKAGES
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        )
        if not module.name.endswith("__main__")
    ]
    return len([importlib.import_module(name) for name in names])


def _import_libraries() -> None:
    """Import what our packages import: with msvcrt in place it would take this for Windows."""
    for package in PACKAGES:
        for path in sources(package):
            for _, name in imported_modules(ast.parse(path.read_text())):
                if name.partition(".")[0] not in (*PACKAGES, *MODULES):
                    with contextlib.suppress(ImportError):
                        importlib.import_module(name.rpartition(".")[0] or name)


def _msvcrt(flock: Callable[[int, int], None]) -> types.ModuleType:
    """Return what stands in for msvcrt: it locks a region of a file, here the whole of it."""

    def locking(descriptor: int, mode: int, size: int) -> None:
        try:
            flock(descriptor, mode)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None

    module = types.ModuleType("msvcrt")
    vars(module).update(locking=locking, LK_NBLCK=fcntl.LOCK_EX | fcntl.LOCK_NB)
    return module
