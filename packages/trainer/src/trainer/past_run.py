"""A run as it lies in its directory, read for comparison: by `trainer report` and `trainer log`.

Reading is lenient: of a run that was killed early, or is still going, there is less, and that less
is shown. Only a directory without a configuration is no run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.run_directory import RunDirectory, read_json
from trainer.settings import flatten

# A heading of samples.md; the text below is indented, so it can hold no heading.
_HEADING = re.compile(r"^## Step (\d+)$")
_BETWEEN_TEXTS = "---"
NO_SUCH_RUN = "no such run directory"


@dataclass(frozen=True)
class PastRun:
    """What is known of one run."""

    path: Path
    settings: Mapping[str, Any]
    """The resolved configuration, flat: `optimizer.lr` to its value."""
    record: Mapping[str, Any]
    """run.json of the run's last part; empty where there is none."""
    rows: tuple[Mapping[str, Any], ...]
    """metrics.jsonl."""
    samples: tuple[tuple[int, tuple[str, ...]], ...]
    """Steps, and what the model wrote then."""
    conclusion: str
    """What a person concluded; empty where nobody has."""

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def objective(self) -> str:
        return str(self.settings.get("objective") or "")

    @property
    def started(self) -> str:
        """When the first part of the run began, in ISO 8601; empty where that is unknown."""
        record = self.record
        while isinstance(record.get("earlier"), Mapping):
            record = record["earlier"]
        return str(record.get("started") or "")

    @property
    def exit(self) -> str:
        return str(self.record.get("exit") or "unknown")

    @property
    def result(self) -> Mapping[str, Any]:
        """What the run came to; empty unless it finished."""
        found = self.record.get("result")
        return found if isinstance(found, Mapping) else {}

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(str(word) for word in self.record.get("command") or ())

    @property
    def commit(self) -> str:
        return str(self.record.get("git_commit") or "")

    def last(self, key: str) -> Any:
        """Return the last logged value of a metric, None where there is none."""
        return self.last_row(key).get(key)

    def last_row(self, key: str) -> Mapping[str, Any]:
        """Return the last row that has a value of a metric, empty where there is none."""
        return next((row for row in reversed(self.rows) if row.get(key) is not None), {})


def read_past_run(path: Path) -> PastRun:
    """Read a run directory; raise ValueError if it holds no run."""
    run = RunDirectory(path)
    if not run.holds_run():
        missing = "holds no run: no config.json" if path.is_dir() else NO_SUCH_RUN
        raise ValueError(f"{path}: {missing}")
    return PastRun(
        path=path,
        settings=dict(flatten(run.read_config())),
        record=read_json(run.record) if run.record.exists() else {},
        rows=tuple(row for row in run.read_metrics() if isinstance(row.get("step"), int)),
        samples=split_samples(read_text(run.samples)),
        conclusion=read_text(conclusion_file(path)).strip(),
    )


def find_past_runs(root: Path) -> list[PastRun]:
    """Read all runs below `root`, or `root` itself if it is one, in the order of their paths."""
    if not root.is_dir():
        raise ValueError(f"{root}: no such directory")
    directories = sorted(record.parent for record in root.rglob("run.json"))
    return [read_past_run(path) for path in directories if RunDirectory(path).holds_run()]


def conclusion_file(run: Path) -> Path:
    """Return where the conclusion of a run is kept."""
    return run / "conclusion.md"


def split_samples(markdown: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Take samples.md apart: for each step, what the model wrote."""
    sections: list[tuple[int, list[list[str]]]] = []
    for line in markdown.splitlines():
        if heading := _HEADING.match(line):
            sections.append((int(heading[1]), [[]]))
        elif sections and line == _BETWEEN_TEXTS:
            sections[-1][1].append([])
        elif sections:
            sections[-1][1][-1].append(line.removeprefix("    "))
    return tuple(
        (step, tuple("\n".join(lines).strip("\n") for lines in texts)) for step, texts in sections
    )


def read_text(path: Path) -> str:
    """Return a file's text, empty where there is no file; bytes that are no UTF-8 are replaced."""
    return path.read_text("utf-8", errors="replace") if path.exists() else ""
