"""From a command line to a configuration: preset, then file, then flags, each over the one before.

A TOML file is turned into the flags it stands for and parsed together with the command line, so
that there is one parser, and rules that join two settings see both. Mistakes come back as one line
that names the nearest right word.
"""

import ast
import contextlib
import dataclasses
import io
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import tyro

from sampling.flags import unboxed
from trainer import field_docs
from trainer.config import TrainConfig
from trainer.settings import flatten, to_mapping
from trainer.words import nearest, unknown_word

Config = TypeVar("Config")

# Settings of which only one can be given: they say the same in other units.
EXCLUSIVE = (
    ("data.corpus", "data.tokens"),
    ("batch_size", "batch_tokens"),
    ("gradient_accumulation", "micro_batch_size"),
)
# A setting that only another setting switches on: (setting, switch, the value that it needs).
CONDITIONAL = (
    ("optimizer.muon_lr", "optimizer.name", "muon"),
    ("optimizer.muon_momentum", "optimizer.name", "muon"),
    ("schedule.decay_ratio", "schedule.name", "wsd"),
)
MODEL_VOCAB, DATA_VOCAB = "model.vocab_size", "data.vocab_size"


def parse_train_config(
    arguments: Sequence[str],
    base: TrainConfig,
    *,
    prog: str = "train",
    description: str = "",
    file: Path | None = None,
) -> TrainConfig:
    """Lay the settings of `file` (TOML) and then the flags in `arguments` over `base`.

    Raises ValueError with one line: an unknown or malformed setting (with the nearest known one),
    or a setting that would have no effect.
    """
    known = [key for key, _ in flatten(to_mapping(base))]
    settings = _read_toml(file, known) if file else {}
    from_file = list(flags_of(settings))
    try:
        config = parse(arguments, base, prog=prog, description=description, below=from_file)
    except ValueError as error:
        if file and any(flag.partition("=")[0] in str(error) for flag in from_file):
            raise ValueError(f"{error} (in {file}, or the flags over it)") from None
        raise
    given = set(settings) | {flag_key(a) for a in arguments if a.startswith("--")}
    return _reconcile(config, given)


def config_from_mapping(mapping: Mapping[str, Any], where: Path) -> TrainConfig:
    """Build a configuration from the nested mapping that `to_mapping` made of one.

    Raises ValueError that names `where` for settings that are unknown or malformed.
    """
    base = TrainConfig()
    defaults = dict(flatten(to_mapping(base)))
    settings = dict(flatten(dict(mapping)))
    for key in settings:
        if key not in defaults:
            raise ValueError(f"{where}: unknown setting {key!r}; it may be of another version")
    changed = {key: value for key, value in settings.items() if value != defaults[key]}
    try:
        return parse([], base, prog="train", below=list(flags_of(changed)))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def split_arguments(arguments: Sequence[str]) -> tuple[str | None, Path | None, list[str]]:
    """Return the preset, the file of `--config` and the other flags of a command line."""
    rest = list(arguments)
    preset = rest.pop(0) if rest and not rest[0].startswith("-") else None
    file = None
    for index, argument in enumerate(rest):
        flag, equals, value = argument.partition("=")
        if flag != "--config":
            continue
        if not equals and index + 1 == len(rest):
            raise ValueError("--config needs a file: --config FILE.toml")
        file = Path(value if equals else rest[index + 1])
        del rest[index : index + (1 if equals else 2)]
        break
    return preset, file, rest


def parse(
    arguments: Sequence[str],
    base: Config,
    *,
    prog: str,
    description: str = "",
    below: Sequence[str] = (),
) -> Config:
    """Parse flags over the dataclass instance `base`, with errors as one-line ValueErrors.

    `below` are flags that the arguments override; of these a list may be empty. `--help` prints and
    raises SystemExit(0).
    """
    _check_lists(arguments, base)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), field_docs.registry():
            config, unknown = tyro.cli(
                type(base),
                default=base,
                args=[*below, *arguments],
                prog=prog,
                description=description or None,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        message = unboxed(errors.getvalue())
        if message.startswith("Missing"):
            # A flag that is not known says more than what it stands in the place of.
            known = {key for key, _ in flatten(to_mapping(base))}
            for argument in arguments:
                if argument.startswith("--") and flag_key(argument) not in known:
                    raise ValueError(_unknown_argument(argument, base)) from None
        raise ValueError(_in_our_words(message)) from None
    if unknown:
        raise ValueError(_unknown_argument(unknown[0], base))
    return config


def flags_of(settings: Mapping[str, Any]) -> Iterable[str]:
    """Yield the command-line flags that stand for settings given as {dotted key: value}."""
    for key, value in settings.items():
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            section, _, name = flag.rpartition(".")
            off = f"{section}.no-{name}" if section else f"--no-{flag.removeprefix('--')}"
            yield flag if value else off
        elif isinstance(value, list | tuple):
            yield flag
            yield from (str(item) for item in value)
        else:
            yield f"{flag}={value}"


def flag_key(flag: str) -> str:
    """Return the setting that a flag names: `--model.d-model=64` sets `model.d_model`."""
    key = flag.removeprefix("--").partition("=")[0].replace("-", "_")
    return re.sub(r"(^|\.)no_", r"\1", key)


def _read_toml(file: Path, known: Sequence[str]) -> dict[str, Any]:
    try:
        mapping = tomllib.loads(file.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"--config {file}: no such file") from None
    except OSError as error:
        raise ValueError(f"--config {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not valid TOML: {error}") from None
    settings = {key.replace("-", "_"): value for key, value in flatten(mapping)}
    for key in settings:
        if key not in known:
            raise ValueError(
                f"{file}: {unknown_word('setting', key, known, otherwise='see train --help')}"
            )
    return settings


def _check_lists(arguments: Sequence[str], base: Any) -> None:
    """Refuse a list without a value: a variable that is not set, a pattern that matches nothing."""
    lists = set(_lists_of(base))
    for argument, following in pairwise([*arguments, "--"]):
        flag, equals, value = argument.partition("=")
        if not flag.startswith("--") or flag_key(flag) not in lists:
            continue
        first = value if equals else following
        if not first or first.startswith("--"):
            kind = "file" if flag.endswith(("corpus", "files")) else "value"
            raise ValueError(f"{flag} needs at least one {kind}")


def _lists_of(base: Any, prefix: str = "") -> Iterable[str]:
    """Yield the settings that take any number of values."""
    for name, kind in get_type_hints(type(base)).items():
        value = getattr(base, name)
        if dataclasses.is_dataclass(value):
            yield from _lists_of(value, f"{prefix}{name}.")
        elif get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis:
            yield f"{prefix}{name}"


def _in_our_words(message: str) -> str:
    """Say what tyro and Python say of a value as a person would."""
    for pattern, words in (
        (r"^Error parsing (?=--)", ""),
        (r"^Error parsing [\w.]+: ", ""),
        (r"invalid literal for int\(\) with base 10: ('.*')", r"\1 is not a whole number"),
        (r"could not convert string to float: ('.*')", r"\1 is not a number"),
        (r"^(--\S+): no type matching .*: ('.*' is not a [a-z ]+)$", r"\1: \2"),
        (r"^Missing from [\w ]+: (\S+) (.*) \(required\)$", r"\1 is missing: \2"),
        (r"^Missing value for argument '(--\S+)'. Expected 1 values.", r"\1 needs a value"),
        (r"^Missing value for argument '(--\S+)'. Expected (\d+) values.", r"\1 needs \2 values"),
    ):
        message = re.sub(pattern, words, message)
    several = re.match(r"(--\S+): Could not .* arguments:? (\['.*'\])", message)
    return f"{several[1]}: {_first_bad(ast.literal_eval(several[2]))}" if several else message


def _first_bad(values: Sequence[str]) -> str:
    """Say which of the values of a flag that takes several numbers is none."""
    kinds: tuple[tuple[Callable[[str], float], str], ...] = (
        (float, "number"),
        (int, "whole number"),
    )
    for kind, name in kinds:
        for value in values:
            try:
                kind(value)
            except ValueError:
                return f"{value!r} is not a {name}"
    return f"{' '.join(values)} does not fit"


def _unknown_argument(argument: str, base: Any) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}: settings are given as --name value"
    known = [key for key, _ in flatten(to_mapping(base))]
    word = flag_key(argument)
    suggestion = nearest(word, known)
    flag = argument.partition("=")[0]
    if suggestion is None:
        return f"unknown flag {flag!r}: see --help"
    return f"unknown flag {flag!r}: did you mean '--{suggestion.replace('_', '-')}'?"


def _reconcile(config: TrainConfig, given: set[str]) -> TrainConfig:
    """Refuse settings without effect and let the two vocabulary sizes agree."""
    for one, other in EXCLUSIVE:
        if one in given and other in given:
            raise ValueError(f"{one} and {other} exclude each other: give one of them")
    # A configuration that is laid over may name the other one.
    if "data.corpus" in given:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, tokens=None))
    if "data.tokens" in given:
        data = dataclasses.replace(config.data, corpus=(), val_corpus=())
        config = dataclasses.replace(config, data=data)
    values = dict(flatten(to_mapping(config)))
    for setting, switch, needed in CONDITIONAL:
        if setting in given and values[switch] != needed:
            raise ValueError(
                f"{setting} has no effect with {switch}={values[switch]!r}: "
                f"add --{switch} {needed} or leave it out"
            )
    model_size, data_size = config.model.vocab_size, config.data.vocab_size
    if MODEL_VOCAB in given and DATA_VOCAB in given:
        if model_size < data_size:
            raise ValueError(f"{MODEL_VOCAB}={model_size} is smaller than {DATA_VOCAB}={data_size}")
    elif MODEL_VOCAB in given:
        config = dataclasses.replace(
            config, data=dataclasses.replace(config.data, vocab_size=model_size)
        )
    elif DATA_VOCAB in given:
        config = dataclasses.replace(
            config, model=dataclasses.replace(config.model, vocab_size=data_size)
        )
    return config
