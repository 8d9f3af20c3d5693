"""A process that has imported everything and has one thread: its children start in milliseconds.

Tests that kill or signal real processes call functions in it, which fork. A test's own process
would not do: a fork of a process with threads can wait forever for a lock that one of them held.
"""

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any


class WarmPair:
    """Two warm processes, one for each core that a test may count on."""

    def __enter__(self) -> "WarmPair":
        self._pair = WarmProcess().__enter__(), WarmProcess().__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for process in self._pair:
            process.__exit__(kind, error, at)

    def call(self, function: str, *arguments: dict[str, Any]) -> list[Any]:
        """Call a function with each of the arguments, two at once at most."""
        assert len(arguments) <= len(self._pair)
        with ThreadPoolExecutor() as pool:
            calls = zip(self._pair, arguments, strict=False)
            return list(pool.map(lambda call: call[0].call(function, **call[1]), calls))


class WarmProcess:
    """Call functions of modules below tests/, by name, in the warm process."""

    def __enter__(self) -> "WarmProcess":
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            # With a GPU in sight torch would start threads.
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def call(self, function: str, **arguments: Any) -> Any:
        """Return what `module.function(**arguments)` returns; arguments and result are JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([function, arguments]), file=self._process.stdin, flush=True)
        result, error = json.loads(self._process.stdout.readline())
        assert error is None, error
        return result


def fork(work: Callable[[], int | None]) -> int:
    """Start a child that does `work` and exits with what that returns; return its id."""
    if child := os.fork():
        return child
    status = 70
    try:
        status = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(child: int, seconds: float = 60.0) -> int:
    """Return the exit status of a child, below 0 if a signal ended it; kill it if it is late."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise TimeoutError(f"a child was still at work after {seconds} s")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    # What children print belongs to nobody.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        module, _, function = name.rpartition(".")
        try:
            answer = [getattr(importlib.import_module(module), function)(**arguments), None]
        except BaseException:
            answer = [None, traceback.format_exc()]
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
