"""The subcommand `trainer log`, and `trainer log conclude`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bpe.atomic_file import write_atomically
from trainer.flags import parse
from trainer.log.document import update_log
from trainer.past_run import conclusion_file, find_past_runs, read_past_run, read_text


@dataclass(frozen=True)
class LogFlags:
    """Write the experiment log of all runs; `log conclude RUN TEXT` adds to one.

    Example: trainer log --runs runs old-runs --out experiments.md

    Example: trainer log conclude runs/tiny-001 'Muon needs half the steps.'
    """

    runs: tuple[Path, ...] = (Path("runs"),)
    """Directories in which the runs lie."""
    out: Path = Path("experiments.md")
    """The log; if it is there, what you wrote between its notes is kept."""


@dataclass(frozen=True)
class ConcludeFlags:
    """Add a paragraph to what was concluded from a run, in RUN/conclusion.md.

    Example: trainer log conclude runs/tiny-001 'Muon needs half the steps.'
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = tyro.MISSING
    """Directory of a run."""
    text: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="TEXT", help_behavior_hint="(required)"),
    ] = ""
    """What was found."""


def log_command(arguments: Sequence[str], *, prog: str) -> None:
    """Write the log, or, after the word `conclude`, a conclusion."""
    if arguments and arguments[0] == "conclude":
        _conclude(parse(arguments[1:], ConcludeFlags(), prog=f"{prog} conclude"))
    else:
        _write(parse(arguments, LogFlags(), prog=prog))


def conclude(run: Path, text: str) -> Path:
    """Add a paragraph to the conclusion of a run; return its file, which may be edited by hand."""
    file = conclusion_file(run)
    paragraphs = [read_text(file).strip(), text.strip()]
    whole = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    write_atomically(file, f"{whole}\n".encode())
    return file


def _conclude(flags: ConcludeFlags) -> None:
    if not flags.text.strip():
        raise ValueError('nothing is concluded: trainer log conclude RUN "TEXT"')
    read_past_run(flags.run)
    print(f"{conclude(flags.run, flags.text)}: `trainer log` puts it into the log")


def _write(flags: LogFlags) -> None:
    runs = {run.path.resolve(): run for root in flags.runs for run in find_past_runs(root)}
    if not runs:
        raise ValueError(f"{', '.join(map(str, flags.runs))}: no runs here; `train` makes them")
    gone = update_log(flags.out, list(runs.values()))
    kept = f"; kept {gone} whose directories are gone" if gone else ""
    print(f"{flags.out}: {len(runs)} run{'s' * (len(runs) != 1)}{kept}")
