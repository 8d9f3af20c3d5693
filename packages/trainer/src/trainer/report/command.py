"""The subcommand `trainer report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bpe.atomic_file import write_atomically
from trainer.past_run import read_past_run
from trainer.report.data import report_data
from trainer.report.figures import draw_figures
from trainer.report.web_page import report_html


@dataclass(frozen=True)
class ReportFlags:
    """Compare runs on one page that needs no network, and in pictures for papers.

    Example: trainer report runs/tiny-001 runs/tiny-002
    """

    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN...", help_behavior_hint="(required)"),
    ] = ()
    """Directories of runs."""
    out: Path = Path("report.html")
    """The page; the pictures are called like it: report-steps.png, report-seconds.png."""


def report(flags: ReportFlags) -> None:
    """Write the page and the pictures, and say where they are."""
    if not flags.runs:
        raise ValueError("trainer report needs runs: trainer report RUN...")
    if flags.out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {flags.out}: the name of the page ends in .html")
    repeated = [str(run) for run in flags.runs if flags.runs.count(run) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]} is given twice")
    runs = [read_past_run(path) for path in flags.runs]
    logged = [run for run in runs if run.rows]
    if not logged:
        raise ValueError(f"{flags.runs[0]}: nothing has been logged yet")
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    page = report_html(report_data(runs))
    write_atomically(flags.out, page.encode("utf-8", errors="replace"))
    for path in [flags.out, *draw_figures(runs, flags.out.with_suffix(""))]:
        print(f"{path}  {path.stat().st_size / 1000:,.0f} kB")
