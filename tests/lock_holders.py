"""Processes that hold a run directory, and others that want it. See `warm_process`."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from warm_process import fork, wait

from trainer import run_lock


def hold_and_kill(root: str, times: int) -> list[str]:
    """Hold, be refused, kill the holder, hold again; return what went wrong."""
    place = Path(root)
    wrong: list[str] = []
    for _ in range(times):
        reading, writing = os.pipe()
        holder = fork(partial(_hold, place, writing))
        os.read(reading, 1)
        begun = time.monotonic()
        try:
            with run_lock.hold(place):
                wrong.append("two at once")
        except run_lock.RunLockedError as error:
            if f"process {holder} on " not in str(error):
                wrong.append(str(error))
        if time.monotonic() - begun > 1:
            wrong.append("it took more than a second")
        os.kill(holder, signal.SIGKILL)
        wait(holder)
        os.close(reading)
        os.close(writing)
        try:
            with run_lock.hold(place):
                pass
        except run_lock.RunLockedError as error:
            wrong.append(f"after a kill: {error}")
    return wrong


def _hold(place: Path, pipe: int) -> None:
    with run_lock.hold(place):
        os.write(pipe, b".")
        time.sleep(60)
