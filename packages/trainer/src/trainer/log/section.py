"""What the log says of one run, in Markdown."""

import datetime
import json
import shlex
from collections.abc import Iterator
from typing import Any

from trainer.past_run import PastRun
from trainer.presets import PRESETS
from trainer.settings import flatten, to_mapping
from trainer.summary import human_count, human_time, verdict

# Said elsewhere in the section, or without a part in what comes out.
NOT_COMPARED = ("run_dir", "objective", "track", "resume")


def describe_run(run: PastRun) -> str:
    """Return objective, result, settings, command, origin and conclusion of a run."""
    paragraphs = [
        f"## {run.name}",
        f"{human_date(run.started)} · {_one_line(run.exit)}",
        _labelled("Objective", _one_line(run.objective)),
        _labelled("Result", _result(run)),
        _labelled("Settings", ", ".join(unlike_preset(run))),
        "\n".join(f"    {line}" for line in shlex.join(run.command).splitlines()),
        _origin(run),
        _labelled("Concluded", "") if run.conclusion else "",
        # Quoted, so that no line of it can be taken for a part of the log.
        "\n".join(f"> {line}".rstrip() for line in run.conclusion.splitlines()),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph.strip())


def human_date(started: str) -> str:
    """Return a time in ISO 8601 as people write it; what is no time is returned as it is."""
    try:
        moment = datetime.datetime.fromisoformat(started)
    except ValueError:
        return started or "time unknown"
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def unlike_preset(run: PastRun) -> Iterator[str]:
    """Yield each setting that is not the preset's, with both values."""
    preset = PRESETS.get(str(run.record.get("preset")))
    if preset is None:
        return
    usual = dict(flatten(to_mapping(preset)))
    for key, value in run.settings.items():
        if key not in NOT_COMPARED and value != usual.get(key):
            yield f"`{key}` {_value(value)} (preset: {_value(usual.get(key))})"


def _result(run: PastRun) -> str:
    if isinstance(run.result.get("val_loss"), int | float):
        after = [f"{run.result.get('steps', 0):,} steps"]
        if run.result.get("tokens"):
            after.append(f"{human_count(run.result['tokens'])} tokens")
        if run.result.get("seconds"):
            after.append(human_time(run.result["seconds"]))
        return f"{verdict(run.result)}; after {', '.join(after)}"
    # An evaluation is not made at every step that is logged.
    losses = []
    for name, key in (("training", "train_loss"), ("validation", "val_loss")):
        row = run.last_row(key)
        if isinstance(row.get(key), int | float):
            losses.append(f"{name} loss {row[key]:.3f} at step {row['step']:,}")
    return ", ".join(losses)


def _origin(run: PastRun) -> str:
    machine = run.record.get("machine")
    machine = machine if isinstance(machine, dict) else {}
    parts = [
        f"commit `{run.commit}`" if run.commit else "",
        str(machine.get("gpu") or machine.get("cpu") or ""),
        f"{machine['cores']} cores" if machine.get("cores") else "",
        str(machine.get("device") or ""),
        f"preset {run.record['preset']}" if run.record.get("preset") else "",
    ]
    return _labelled("From", ", ".join(part for part in parts if part))


def _labelled(label: str, text: str) -> str:
    return f"**{label}:** {text}".rstrip() if text or label == "Concluded" else ""


def _value(value: Any) -> str:
    return "none" if value is None else json.dumps(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())
