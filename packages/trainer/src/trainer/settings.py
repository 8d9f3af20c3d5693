"""A configuration as plain data: nested as in files, or flat under dotted keys as in flags."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def to_mapping(config: Any) -> dict[str, Any]:
    """Turn a configuration into nested plain data that JSON and TOML can hold (paths as text)."""
    mapping: dict[str, Any] = {}
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            mapping[entry.name] = to_mapping(value)
        elif isinstance(value, Path):
            mapping[entry.name] = str(value)
        elif isinstance(value, tuple):
            mapping[entry.name] = [str(v) if isinstance(v, Path) else v for v in value]
        else:
            mapping[entry.name] = value
    return mapping


def flatten(mapping: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a nested mapping as (dotted key, value)."""
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
