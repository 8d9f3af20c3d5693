"""Parse the arguments of a command before it runs; what is wrong with them is one line.

tyro draws a box round its messages: here they become one-line ValueErrors, as all others are, and
an unknown flag gets the nearest known one.
"""

import contextlib
import difflib
import functools
import inspect
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tyro

Command = Callable[..., object]


def parse_command(
    commands: Mapping[str, Command], arguments: Sequence[str], *, prog: str, description: str
) -> Callable[[], object]:
    """Return the command that `arguments` name, with its own arguments bound.

    Raises ValueError with one line; `--help` prints and raises SystemExit(0).
    """
    if not arguments:
        raise ValueError(f"which command? {', '.join(commands)}; see {prog} --help")
    name = arguments[0]
    if name in commands:
        _check_flags(f"{prog} {name}", commands[name], arguments[1:])
    elif not name.startswith("-"):
        raise ValueError(f"unknown command {name!r}; {_nearest(name, commands)}")
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            bound: Any = tyro.extras.subcommand_cli_from_dict(
                {name: _deferred(command) for name, command in commands.items()},
                prog=prog,
                description=description,
                args=list(arguments),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(unboxed(errors.getvalue())) from None
    return bound  # type: ignore[no-any-return]


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
            sections[-1].append(line[2:].rstrip("│ "))
    lines = sections[0 if box.startswith("╭") else 1]
    missing = [line.strip() for line in lines[1:] if re.match(r" {4}\S", line)]
    if missing and lines[0].startswith("Missing from "):
        command = lines[0].removeprefix("Missing from ").rstrip(":")
        verb = "is" if len(missing) == 1 else "are"
        return f"{' and '.join(missing)} {verb} missing; see {command} --help"
    message = " ".join(" ".join(lines).split())
    message = re.sub(r"^Unrecognized options: (.*)", r"unexpected argument \1", message)
    message = re.sub(r"^Error parsing (-\S+): ", r"\1: ", message)
    return re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"\1 is no integer", message)


def _check_flags(prog: str, command: Command, arguments: Sequence[str]) -> None:
    known = {"--help", *_flags(command)}
    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag.startswith("--") and flag.replace("_", "-") not in known:
            near = difflib.get_close_matches(flag, sorted(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"see {prog} --help"
            raise ValueError(f"unknown flag {flag}: {hint}")


def _flags(command: Command) -> list[str]:
    flags = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            settings = getattr(parameter.annotation, "__metadata__", ())
            names = [getattr(setting, "name", None) for setting in settings]
            name = next(filter(None, names), parameter.name).replace("_", "-")
            flags.append(f"--{name}")
            if parameter.annotation is bool:
                flags.append(f"--no-{name}")
    return flags


def _nearest(name: str, commands: Mapping[str, Command]) -> str:
    close = difflib.get_close_matches(name, commands, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(commands)}"


def _deferred(command: Command) -> Command:
    """Return what takes the arguments of the command, but only binds them."""

    @functools.wraps(command)
    def bind(*values: object, **flags: object) -> Callable[[], object]:
        return functools.partial(command, *values, **flags)

    # tyro keeps line breaks within the description of an argument: they are joined here, in what
    # it takes for a function of its own.
    del bind.__wrapped__
    bind.__signature__ = inspect.signature(command)  # type: ignore[attr-defined]
    bind.__doc__ = re.sub(r"\n {8}", " ", inspect.cleandoc(command.__doc__ or ""))
    return bind
