"""Parse flags into a dataclass; what is wrong with them comes back as one line.

tyro draws a box round its messages: here they become one-line ValueErrors, as all others are, and
an unknown flag gets the nearest known one.
"""

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

Flags = TypeVar("Flags")


def parse_flags(default: Flags, arguments: Sequence[str], *, prog: str) -> Flags:
    """Return the dataclass instance `default` with what `arguments` change in it.

    Raises ValueError with one line; `--help` prints and raises SystemExit(0).
    """
    # It takes longer to import than the rest of the package.
    import tyro

    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            flags, unknown = tyro.cli(
                type(default),
                prog=prog,
                args=list(arguments),
                default=default,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(unboxed(errors.getvalue())) from None
    if unknown:
        raise ValueError(_unknown(unknown[0], default))
    return flags


def unboxed(box: str) -> str:
    """Return what the first section of tyro's box says, as one line.

    Where the terminal has no box-drawing characters, the title is a section of its own.
    """
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip("│ ")
        if text and set(text) <= set("─-"):
            sections.append([])
        elif text and text[0] not in "╭╰":
            sections[-1].append(text)
    message = " ".join(sections[0 if box.startswith("╭") else 1])
    # What is wrong with a flag needs its name; other messages name the fields themselves.
    message = re.sub(r"^Error parsing (?:(-\S+: )|\w+: )", r"\1", message)
    message = re.sub(r"could not convert string to float: (.*)", r"\1 is no number", message)
    return re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"\1 is no integer", message)


def _unknown(argument: str, default: Any) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}; see --help"
    flag = argument.partition("=")[0]
    near = get_close_matches(flag, [*_names(default, "--")], n=1)
    return f"unknown flag {flag}: " + (f"did you mean {near[0]}?" if near else "see --help")


def _names(flags: Any, prefix: str) -> Iterator[str]:
    for field in dataclasses.fields(flags):
        name = prefix + field.name.replace("_", "-")
        value = getattr(flags, field.name)
        if dataclasses.is_dataclass(value):
            yield from _names(value, f"{name}.")
        else:
            yield name
