"""Parse a command's flags into a dataclass; what is wrong comes back as one line.

tyro draws a box round its messages: here they become one-line ValueErrors, as all others are, and
an unknown flag gets the nearest known one.
"""

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Sequence
from typing import TypeVar

import tyro

Flags = TypeVar("Flags")


def parse_flags(
    kind: type[Flags], arguments: Sequence[str], *, prog: str, description: str
) -> Flags:
    """Return `arguments` as an instance of the dataclass `kind`.

    Raises ValueError with one line; `--help` prints and raises SystemExit(0).
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            flags, unknown = tyro.cli(
                kind,
                args=list(arguments),
                prog=prog,
                description=description,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(_in_our_words(unboxed(errors.getvalue()))) from None
    if unknown:
        raise ValueError(_unknown(unknown[0], kind))
    return flags


def unboxed(box: str) -> str:
    """Return the message of the box, without its frame, its title and the pointer to --help.

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
    missing = re.fullmatch(r"Missing from \w+: (.*) \(required\)", message)
    if missing:
        name, _, meaning = missing[1].partition(" ")
        return f"{name} is missing: {meaning}"
    return message


def _in_our_words(message: str) -> str:
    message = re.sub(r"^Error parsing (?=--)", "", message)
    message = re.sub(r"could not convert string to float: (.*)", r"\1 is no number", message)
    message = re.sub(
        r"invalid literal for int\(\) with base 10: (.*)", r"\1 is no integer", message
    )
    # Of a flag that may also be left out, tyro says as well that the value is not None.
    return re.sub(r"no type matching .*: (?=\S+ is no (?:integer|number)$)", "", message)


def _unknown(argument: str, kind: type) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}: put a prompt of several words in quotes"
    flag = re.split("=", argument)[0]
    known = ["--" + field.name.replace("_", "-") for field in dataclasses.fields(kind)]
    near = difflib.get_close_matches(flag, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "see --help"
    return f"unknown flag {flag}: {hint}"
