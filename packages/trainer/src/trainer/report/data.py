"""What the page shows of each run, as plain data that JSON can hold."""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.past_run import PastRun
from trainer.report.ranking import Rank, ranks, section

# More points than this make the file large and are more than a screen has pixels.
MAX_ROWS = 10_000
AXES = ("step", "tokens", "seconds")
# Said elsewhere on the page, and never the same for two runs.
NOT_COMPARED = ("run_dir", "objective")


def report_data(runs: Sequence[PastRun]) -> dict[str, Any]:
    """Return everything that the page shows.

    Of a run with more than `MAX_ROWS` rows every n-th is taken, and all with a validation loss.
    """
    names = _unlike_names(runs)
    single = len(runs) == 1
    return {
        "title": names[0] if single else f"{len(runs)} runs compared",
        "subtitle": str(runs[0].path) if single else " · ".join(names),
        "runs": [_run_data(*known) for known in zip(runs, names, ranks(runs), strict=True)],
    }


def _run_data(run: PastRun, name: str, rank: Rank | None) -> dict[str, Any]:
    rows = thin(run.rows)
    return {
        "name": name,
        "objective": run.objective,
        "conclusion": run.conclusion,
        "exit": run.exit,
        "val_loss": _number(run.result.get("val_loss", run.last("val_loss"))),
        "bits_per_byte": _number(run.result.get("bits_per_byte", run.last("bits_per_byte"))),
        "rank": rank,
        "floor": _number(run.result.get("entropy_floor")),
        # The result's seconds are those of the whole training, up to its end.
        "last": {axis: _number(run.last(axis)) for axis in AXES}
        | {"seconds": _number(run.result.get("seconds", run.last("seconds")))},
        "columns": columns(rows),
        "samples": run.samples,
        "settings": {
            key: _plain(value) for key, value in run.settings.items() if key not in NOT_COMPARED
        },
        "origin": origin(run),
        "versions": dict(section(run.record, "versions")),
    }


def thin(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out rows of a long run, but none with a validation loss, nor the last."""
    every = math.ceil(len(rows) / MAX_ROWS)
    last = len(rows) - 1
    return [
        row
        for place, row in enumerate(rows)
        if place % every == 0 or place == last or row.get("val_loss") is not None
    ]


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Turn rows into a column for each metric; what is missing, or no number, is None."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    found = {key: [_number(row.get(key)) for row in rows] for key in keys}
    return {key: values for key, values in found.items() if any(v is not None for v in values)}


def origin(run: PastRun) -> dict[str, Any]:
    """Return where a run comes from: command, commit, machine, times."""
    record = run.record
    return {
        "command": shlex.join(run.command),
        "commit": run.commit,
        "preset": record.get("preset"),
        "exit": run.exit,
        "started": _readable(run.started),
        "ended": _readable(str(record.get("ended") or "")),
        **{name: _plain(value) for name, value in section(record, "machine").items()},
        "directory": str(run.path),
    }


def _number(value: Any) -> float | None:
    """Return a finite number in seven digits, which is what float32 holds; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.7g}")


def _readable(moment: str) -> str:
    """Return a time in ISO 8601 with a space in it, at which a line may break."""
    return moment.replace("T", " ").replace("+00:00", " UTC")


def _plain(value: Any) -> Any:
    """Return a setting as JSON can hold it: it knows no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _unlike_names(runs: Sequence[PastRun]) -> list[str]:
    """Name runs by their directories, by their whole paths where two are named alike."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]
