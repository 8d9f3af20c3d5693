"""SIGTERM, SIGINT (Ctrl-C) and SIGUSR1 end a run after it has been saved.

A batch system sends SIGTERM, or SIGUSR1 some time before that, to a job whose time is up. While
data is prepared there is nothing to save, and the signal ends the work at once, as Ctrl-C does.
While the model trains it is only noted: the loop asks wherever it can stop, saves, and ends. A
second Ctrl-C ends the process on the spot.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

NOTHING_LOST = "stopped; nothing is lost"
_SHOW_CURSOR = b"\x1b[?25h"


class StopRequested(BaseException):
    """A signal asked for the end. As with KeyboardInterrupt, `except Exception` lets it pass."""

    def __init__(self, number: int, done: str) -> None:
        self.number = number
        self.done = done
        super().__init__(f"{self.name}: {done}")

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name

    @property
    def exit_status(self) -> int:
        """Return what a shell reports of a process that the signal has ended."""
        return 128 + self.number


class StopSignals:
    """Take note of the first signal; raise StopRequested at once, or when asked while `deferred`.

    A context manager, for the main thread; in another one, signals stay as they are. Where several
    processes train together, `agree` tells each what any of them has received (0 for nothing); all
    call `check` at the same places then.
    """

    def __init__(self, agree: Callable[[int], int] | None = None) -> None:
        self._agree = agree
        self._received: int | None = None
        self._deferred = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        numbers = [signal.SIGTERM, signal.SIGINT]
        if hasattr(signal, "SIGUSR1"):
            numbers.append(signal.SIGUSR1)
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                # A process in the background is told to ignore Ctrl-C, and goes on doing so.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Within the block, raise only from `check`."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def check(self) -> None:
        """Raise StopRequested if a signal has come."""
        number = self._received if self._agree is None else self._agree(self._received or 0)
        if number:
            raise StopRequested(number, NOTHING_LOST)

    def _receive(self, number: int, _: FrameType | None) -> None:
        # torchrun passes Ctrl-C on to processes that the terminal has sent it to already.
        if number == signal.SIGINT and self._agree is None:
            # The kernel obeys the next one, whatever Python is busy with.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), _SHOW_CURSOR)
        if self._received is not None:
            return
        self._received = number
        if not self._deferred:
            raise StopRequested(number, NOTHING_LOST)
