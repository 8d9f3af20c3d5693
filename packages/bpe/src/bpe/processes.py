"""Map a function over items in worker processes that never hang.

A worker that is killed, by a person or for want of memory, raises at once. Workers end when the
results are given up, by Ctrl-C for instance, and with their parent, however that dies. They do not
import the parent's main module, so that a script needs no `if __name__ == "__main__"` guard, and
they are spawned, not forked, so that threads of the parent (torch has some) do no harm.
"""

import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """Yield `function(item)` of each item as it is done; only a few items are held at a time.

    `function` must be importable by name. Raises ChildProcessError when a worker dies.
    """
    context = _Context()
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)
    try:
        pending: set[Future[Result]] = set()
        for item in items:
            with _signals_wait():
                pending.add(executor.submit(function, item))
            # Two items a worker keep all busy while the parent reads, and bound the memory.
            if len(pending) >= 2 * workers:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool:
        raise ChildProcessError(
            f"one of {workers} worker processes died (killed, or out of memory); "
            "nothing was written. Use fewer workers, or workers=1 for none"
        ) from None
    except BaseException:
        # Nobody wants what they are at, which could take for ever.
        context.kill_workers()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def may_start_processes() -> bool:
    """Tell whether this process may have children: a daemonic worker of a pool may not."""
    return not multiprocessing.current_process().daemon


class _MainlessProcess(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        main = sys.modules["__main__"]
        # What a spawned process is told to import first is read from here.
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            with _ctrl_c_blocked():
                return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = main


class _Context(SpawnContext):
    """Starts processes without a main module, and knows those that it started."""

    def __init__(self) -> None:
        self._workers: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        self._workers.append(_MainlessProcess(*args, **options))
        return self._workers[-1]

    def kill_workers(self) -> None:
        for worker in self._workers:
            if worker.is_alive():
                worker.kill()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Put off what Ctrl-C and SIGTERM do: a worker must not be lost while it is being started."""
    if threading.current_thread() is not threading.main_thread():
        # Python runs handlers in the main thread alone.
        yield
        return
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: caught.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    for late in caught:
        signal.raise_signal(late)


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    # Ctrl-C reaches all processes of the terminal; the parent alone answers it. What is blocked
    # here stays blocked in the worker from its first moment on, when it could not yet ignore it.
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker() -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
