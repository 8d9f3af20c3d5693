"""What the `bpe` command shows while it works, and the words for sizes and tokens.

On a terminal: one bar per phase, with rate, time left and a note. Elsewhere: a line when a phase
ends, and one now and then while it lasts.
"""

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Literal, Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

Unit = Literal["bytes", "merges"]

_SECONDS_BETWEEN_UPDATES = 0.05
_SECONDS_BETWEEN_LINES = 10.0


class Display:
    """Show the progress of one phase after another; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(width=10)),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}", justify="right"),
            TextColumn("{task.fields[rate]}", justify="right", style="cyan"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", markup=False, style="green"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._phase = ""
        self._unit: Unit = "bytes"
        self._done = self._total = 0
        self._note = ""
        self._started = self._shown = self._updated = 0.0

    def __enter__(self) -> Self:
        self._updated = time.monotonic()
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._end_phase()
        self._bars.stop()

    def update(self, phase: str, done: int, total: int, unit: Unit, note: str = "") -> None:
        """Show that `done` of `total` bytes or merges of `phase` are done; cheap to call often."""
        now = time.monotonic()
        if phase != self._phase:
            self._end_phase()
            # The first news of a phase comes when some of it is done.
            self._phase, self._unit, self._started = phase, unit, self._updated
            self._shown = now if self._bars.disable else 0.0
            self._task = self._bars.add_task(phase, total=total, amount="", rate="", note="")
        self._done, self._total, self._note, self._updated = done, total, note, now
        if self._bars.disable:
            if now - self._shown > _SECONDS_BETWEEN_LINES:
                self._shown = now
                print(f"{phase}: {self._amount()}, {self._rate()}", file=sys.stderr, flush=True)
        elif now - self._shown > _SECONDS_BETWEEN_UPDATES:
            self._shown = now
            self._draw()

    def _end_phase(self) -> None:
        if not self._phase:
            return
        if self._bars.disable:
            line = f"{self._phase}: {self._amount()} done, {self._rate()}"
            print(line, file=sys.stderr, flush=True)
        else:
            # A phase may end early; its bar is full all the same.
            self._total = self._done
            self._draw()

    def _draw(self) -> None:
        assert self._task is not None
        self._bars.update(
            self._task,
            completed=self._done,
            total=self._total,
            amount=self._amount(),
            rate=self._rate(),
            note=self._note,
        )

    def _amount(self) -> str:
        if self._unit == "bytes":
            scale, unit = (1e6, "MB") if self._total >= 1e6 else (1e3, "kB")
            return f"{self._done / scale:,.1f} of {self._total / scale:,.1f} {unit}"
        return f"{self._done:,} of {self._total:,} {self._unit}"

    def _rate(self) -> str:
        per_second = self._done / max(time.monotonic() - self._started, 1e-6)
        if self._unit == "bytes":
            return f"{per_second / 1e6:,.1f} MB/s"
        return f"{per_second:,.0f} {self._unit}/s"


class WarningLines(logging.Handler):
    """Print what the package logs, a line each, above the bars."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def show_token(token: bytes) -> str:
    """Return a token as a quoted string; bytes that are not UTF-8 as escapes."""
    try:
        return repr(token.decode())
    except UnicodeDecodeError:
        return repr(token)


def show_tokens(tokens: Iterable[bytes], width: int = 72) -> str:
    """Return as many of the first tokens as fit into `width` columns, at least the first."""
    line = ""
    for token in tokens:
        text = show_token(token)
        if cell_len(text) > width:
            text = f"{set_cell_size(text, width - 20).rstrip()}... ({len(token):,} bytes)"
        if line and cell_len(line) + 2 + cell_len(text) > width:
            break
        line = f"{line}, {text}" if line else text
    return line


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values in two columns on standard output."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(Text(f"{name:<{width}}  ", "bold"), value, sep="")
