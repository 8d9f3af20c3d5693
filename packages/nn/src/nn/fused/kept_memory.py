"""What a step frees, the next one allocates: between the two it stays with the process."""

import ctypes
import os

# Of mallopt, in glibc's malloc.h; and what says the same in the environment.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed_memory() -> None:
    """Have glibc keep up to 2 GB of what is freed, in blocks of up to 32 MB, for what comes next.

    By itself it hands most of it back to the system at the end of each step, and the next waits for
    pages to be found and cleared: for 3 to 10 percent of its time. Other C libraries have no such
    knob, and whoever has turned it in the environment is left alone.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if "glibc.malloc" in tunables or any(name in os.environ for name in ENVIRONMENT):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    # The first switches off that glibc moves the second by itself; 32 MB is the most it takes.
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_MMAP_THRESHOLD, 2**25)
