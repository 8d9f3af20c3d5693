"""Which runs can be compared, and how far each is behind the best of them.

Losses per token compare over the same tokens alone. Where tokenizers differ, bits per byte compare
over the same text; of runs on different text, neither does.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.past_run import PastRun

Rank = dict[str, float | str]
# What is compared, and its unit where that is not the loss.
LOSS, BITS = ("val_loss", ""), ("bits_per_byte", "bits per byte")


def ranks(runs: Sequence[PastRun]) -> list[Rank | None]:
    """Return for each run its distance `behind` the best that it compares with, and the `unit`.

    None for a run that compares with no other.
    """
    found: list[Rank | None] = [None] * len(runs)
    for group in _groups(runs):
        alike = len({_hash(runs[place], "valid_tokens") for place in group}) == 1
        key, unit = LOSS if alike else BITS
        values = {place: _measured(runs[place], key) for place in group}
        known = {place: value for place, value in values.items() if value is not None}
        if len(known) > 1:
            best = min(known.values())
            for place, value in known.items():
                found[place] = {"behind": value - best, "unit": unit}
    return found


def _groups(runs: Sequence[PastRun]) -> list[list[int]]:
    groups: list[list[int]] = []
    for place, run in enumerate(runs):
        for group in groups:
            if any(_comparable(run, runs[other]) for other in group):
                group.append(place)
                break
        else:
            groups.append([place])
    return groups


def _comparable(a: PastRun, b: PastRun) -> bool:
    tokens = _hash(a, "valid_tokens")
    if tokens is not None and tokens == _hash(b, "valid_tokens"):
        return True
    if _hash(a, "tokenizer") == _hash(b, "tokenizer"):
        return False
    # Tokens of different tokenizers are never the same; their text is known by its sizes.
    sizes = _sizes(a)
    return None not in sizes and sizes == _sizes(b)


def _measured(run: PastRun, key: str) -> float | None:
    value = run.result.get(key, run.last(key))
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _sizes(run: PastRun) -> tuple[Any, Any]:
    data = section(run.record, "data")
    return data.get("train_bytes"), data.get("valid_bytes")


def _hash(run: PastRun, name: str) -> Any:
    return section(section(run.record, "data"), "sha256").get(name)


def section(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of run.json, empty where there is none."""
    section = record.get(name)
    return section if isinstance(section, Mapping) else {}
