"""Map a function over items in worker processes that never hang.

A worker that is killed, by a person or for want of memory, raises at once. Workers end with their
parent, however that dies. They do not import the parent's main module, so that a script needs no
`if __name__ == "__main__"` guard, and they are spawned, not forked, so that threads of the parent
(torch has some) do no harm.
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
    executor = ProcessPoolExecutor(workers, mp_context=_Context(), initializer=_prepare_worker)
    try:
        pending: set[Future[Result]] = set()
        for item in items:
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
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = main


class _Context(SpawnContext):
    Process = _MainlessProcess


def _prepare_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
