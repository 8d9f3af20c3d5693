"""Map a function over items on a Ray cluster: the one there is, or one on this machine.

Ray runs an item again when the worker that had it dies. The cluster is the one that this process
is connected to, the one that RAY_ADDRESS names, one that runs on this machine, or else one that is
started here and ends with the work.
"""

import importlib
import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How often an item may lose its worker. One that kills every worker must end somewhere.
_RETRIES = 5
_SECONDS_TO_ANSWER = 5


def map_on_ray(
    make: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    *,
    workers: int | None = None,
) -> Iterator[Result]:
    """Yield `make()(item)` of each item, in order; only a few items are held at a time.

    `make` is called once in every worker; it must be picklable. `workers` items are worked on at
    once, by default as many as the cluster has CPUs. Raises ChildProcessError when an item has lost
    its worker too often, and ValueError where Ray is not installed or not to be reached.
    """
    ray = _import_ray()
    with _cluster(ray, workers) as num_cpus:
        # Two items for each CPU keep all busy while results are used, and bound the memory.
        limit = workers or 2 * num_cpus
        call = ray.remote(_call).options(max_retries=_RETRIES)
        # Inside a list: Ray would unpack it for every item.
        shared = [ray.put(make)]
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(call.remote(shared, item))
                if len(waiting) >= limit:
                    yield ray.get(waiting.popleft())
            while waiting:
                yield ray.get(waiting.popleft())
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())
            raise ChildProcessError(f"Ray gave up; nothing was written: {reason:.160}") from None
        finally:
            for left in waiting:
                ray.cancel(left, force=True)


def _call(shared: list[Any], item: Any) -> Any:
    return _made(shared[0])(item)


@lru_cache(maxsize=1)
def _made(reference: Any) -> Callable[[Any], Any]:
    return _import_ray().get(reference)()  # type: ignore[no-any-return]


def _import_ray() -> Any:
    # Nothing of what is trained on, nor that it is, is told to anybody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise ValueError('engine="ray" needs ray: pip install ray') from None


@contextmanager
def _cluster(ray: Any, workers: int | None) -> Iterator[int]:
    """Connect to a cluster, or start one; yield the number of its CPUs."""
    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray, workers)
    try:
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if is_ours:
            ray.shutdown()


def _connect(ray: Any, workers: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS", "auto")
    on_sigterm = signal.getsignal(signal.SIGTERM)
    _check_address(address)
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != "auto":
            reason = " ".join(str(error).split())
            raise ValueError(f"RAY_ADDRESS={address}: no Ray cluster: {reason:.160}") from None
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
    if threading.current_thread() is threading.main_thread():
        # Ray sets one of its own, which would end this process with another exit code.
        signal.signal(signal.SIGTERM, on_sigterm)


def _check_address(address: str) -> None:
    """Raise ValueError if nothing answers there: Ray itself would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        # It is no place but a word, such as auto.
        return
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise ValueError(f"RAY_ADDRESS={address}: no Ray cluster: {error}") from None
