"""What a person sees: numbered stages, progress, samples and a last summary.

On a terminal the progress moves in place; anywhere else (a file, a pipe, CI) it is plain lines, a
few per minute. Nothing here decides anything: a run is the same with the output thrown away.
"""

import time

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
)
from rich.text import Text

INDENT = 14
WIDTH = 100


class Display:
    """Print a run's story to `console`.

    `plain_interval` is the seconds between two lines of progress where that is no terminal.
    """

    def __init__(self, console: Console | None = None, *, plain_interval: float = 5.0) -> None:
        self.plain_interval = plain_interval
        self.console = console or Console(highlight=False)
        # Wider lines are hard to read; a file has no width at all.
        self.console.width = min(self.console.width, WIDTH) if self.console.is_terminal else WIDTH
        self._title: Text | None = None
        self._stages = 0

    def title(self, text: str, note: str) -> None:
        """Name the run; it is printed with the first stage, so that bad input prints nothing."""
        self._title = Text.assemble("\n", (text, "bold"), "  ", (note, "dim"), "\n")

    def stage(self, name: str, why: str) -> None:
        """Begin a numbered stage: its name, and what happens in it and why."""
        if self._title is not None:
            self.console.print(self._title)
            self._title = None
        self._stages += 1
        head = f"{self._stages}  {name}".ljust(INDENT)
        self.console.print(Text.assemble((head, "bold cyan"), why), soft_wrap=True)

    def detail(self, text: str, style: str = "dim") -> None:
        """Add a line to the stage."""
        self._indented(Text(text, style))

    def line(self, text: str) -> None:
        """Print a line of its own."""
        self.console.print(Text(text, "bold"), soft_wrap=True)

    def result(self, label: str, value: str, note: str = "") -> None:
        """Add a labelled number."""
        line = Text.assemble((f"{label:<18}", "dim"), (value, "bold"), (f"  {note}", "dim"))
        self._indented(line)

    def sample(self, label: str, text: str, *, limit: int = 300) -> None:
        """Show what the model writes, cut to `limit` characters, its lines as they are."""
        lines = (" ".join(line.split()) for line in text.splitlines())
        # A model of bytes may write an escape sequence, which a terminal would obey.
        words = "".join(
            c if c.isprintable() or c == "\n" else "\ufffd" for c in "\n".join(filter(None, lines))
        )
        if len(words) > limit:
            words = words[:limit].rpartition(" ")[0] + " ..."
        self._indented(Text.assemble((f"{label}  ", "bold green"), (words, "italic")))

    def command(self, text: str, note: str) -> None:
        """Show a command to try; it is never wrapped, so that it can be copied."""
        self.console.print(f"{'':{INDENT}}[dim]# {escape(note)}[/dim]", soft_wrap=True)
        self.console.print(f"{'':{INDENT}}[bold]{escape(text)}[/bold]", soft_wrap=True)

    def evaluation(self, step: int, train_loss: float, val_loss: float) -> None:
        """Print the losses of an evaluation."""
        line = Text.assemble(
            (f"step {step:<6}", "bold"),
            (f"loss {train_loss:.3f}   val ", "dim"),
            (f"{val_loss:.3f}", "bold"),
        )
        self._indented(line)

    def blank(self) -> None:
        self.console.print()

    def _indented(self, text: Text) -> None:
        self.console.print(Padding(text, (0, 0, 0, INDENT), expand=False))

    def progress(self, label: str, total: int | None = None) -> "Meter":
        """Show work in progress: a share of `total`, or only that it goes on."""
        return Meter(self.console, label, total, self.plain_interval)


class Meter:
    """A moving bar on a terminal, a line every few seconds elsewhere."""

    def __init__(
        self, console: Console, label: str, total: int | None, plain_interval: float
    ) -> None:
        self.plain_interval = plain_interval
        self.label = label
        self.total = total
        self.done = 0
        self.note = ""
        self._console = console
        self._last_line = time.monotonic()
        self._progress = Progress(
            TextColumn(" " * (INDENT - 2)),
            SpinnerColumn(style="cyan"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            _TimeLeft(),
            console=console,
            transient=True,
            refresh_per_second=8,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(label, total=total, note="")

    def __enter__(self) -> "Meter":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, done: int, note: str | None = None) -> None:
        """Say how much is done, with the numbers of the moment."""
        self.done = done
        self.note = self.note if note is None else note
        self._progress.update(self._task, completed=done, note=self.note)
        if not self._console.is_terminal:
            self._print_line()

    def advance(self, amount: int) -> None:
        """Say how much more is done."""
        self.update(self.done + amount)

    def update_share(self, done: int, total: int) -> None:
        """Say how much is done, and of how much."""
        self.total = total
        self._progress.update(self._task, total=total)
        self.update(done)

    def phase(self, label: str, total: int | None) -> None:
        """Go on to another part of the work, with its own label and total."""
        self.label, self.total, self.done = label, total, 0
        self._progress.reset(self._task, total=total, description=label, note="")

    def _print_line(self) -> None:
        now = time.monotonic()
        if now - self._last_line < self.plain_interval:
            return
        self._last_line = now
        share = f" {self.done / self.total:.0%}" if self.total else ""
        self._console.print(f"{'':{INDENT}}{self.label}{share}  {self.note}".rstrip())


class _TimeLeft(ProgressColumn):
    """The estimated time to the end, as m:ss."""

    def render(self, task: Task) -> Text:
        if task.time_remaining is None:
            return Text("")
        minutes, seconds = divmod(round(task.time_remaining), 60)
        return Text(f"{minutes}:{seconds:02d} left", style="cyan")
