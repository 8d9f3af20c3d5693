"""One thread that owns the model and serves several jobs by turns, a token each.

Nobody waits for the end of somebody else's text. There is room for a fixed number of jobs; one more
is refused at once instead of being kept waiting.
"""

import threading
from collections.abc import Callable, Iterator

from sampling.stopping import Piece

# The place of a text in its job and what it lets out; None after the last, or what went wrong.
Event = tuple[int, Piece] | Exception | None


class BusyError(RuntimeError):
    """There is no room for one more job."""


class Job:
    """A generation in progress: `deliver` gets each of its events, in the thread of `Turns`."""

    def __init__(
        self, pieces: Iterator[tuple[int, Piece]], deliver: Callable[[Event], None]
    ) -> None:
        self._pieces = pieces
        self._deliver = deliver
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Let the job end before its next token: nobody listens any more."""
        self._cancelled.set()

    def take_turn(self) -> bool:
        """Draw one token and deliver it; return whether the job goes on."""
        if self._cancelled.is_set():
            return False
        try:
            event: Event = next(self._pieces, None)
        except Exception as error:  # Whatever it is, it must reach the one who waits for it.
            event = error
        self._deliver(event)
        return isinstance(event, tuple)


class Turns:
    """The jobs in progress, and their thread; a context manager that starts and ends it."""

    def __init__(self, *, room: int) -> None:
        self._room = room
        self._jobs: list[Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)

    def __enter__(self) -> "Turns":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def submit(self, job: Job) -> None:
        """Let `job` take turns from now on. Raises BusyError if there is no room."""
        with self._changed:
            if len(self._jobs) >= self._room:
                raise BusyError(f"{self._room} texts are being written already: try again later")
            self._jobs.append(job)
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                jobs = list(self._jobs)
            for job in jobs:
                if not job.take_turn():
                    with self._changed:
                        self._jobs.remove(job)
