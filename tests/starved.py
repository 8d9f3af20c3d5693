"""Train with less memory than a step needs. See `warm_process`."""

import os
import resource
from pathlib import Path

from warm_process import fork, wait

from trainer.cli import train_command


def train_starved(directory: str, flags: list[str], spare: int) -> tuple[int, str]:
    """Run `train` in a process that may map `spare` bytes more; return exit status and errors."""
    os.chdir(directory)
    errors = Path("errors.txt")

    def work() -> int:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + spare
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return train_command(flags)

    status = wait(fork(work))
    return status, errors.read_text()
