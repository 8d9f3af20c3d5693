"""The commands `train` and `trainer`: flags in, one-line errors out.

Exit status: 0, 1 for a loss that is not finite, 2 for bad input, 3 for a corrupt checkpoint, 4 for
a full disk or too little memory; after a signal 128 and its number: 130 SIGINT, 138 SIGUSR1, 143
SIGTERM; 5 if another process of the run was lost. `GROUNDUP_TRACEBACK=1` in the environment shows
where an error came from.

What needs torch is imported late, so that a terminal says at once that something is happening.
"""

import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import run_lock
from trainer.disk import NO_SPACE
from trainer.place import find_place
from trainer.signals import StopRequested

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.distributed import ProcessTeam

TRAIN_HELP = """Train a language model: from raw text to a model one can talk to.

  train                                 little stories, two minutes on a CPU
  train --data.corpus FILE.txt          the same from a text of your own
  train tinystories --data.corpus FILE  a preset for real work
  train --config FILE.toml              settings from a file, below the flags
  train --run-dir runs/tiny-001         go on with a run

Presets: {presets}.

The defaults below are those of the preset, tiny unless one is named.
"""


def train_command(arguments: Sequence[str] | None = None) -> int:
    """Run `train [PRESET] [--config FILE.toml] [--flag value ...]`; return the exit status."""
    sleep_between_parallel_regions()
    given = list(sys.argv[1:] if arguments is None else arguments)
    return guarded("train", lambda: train(given))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `trainer COMMAND ...`; return the exit status."""
    sleep_between_parallel_regions()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["train"]:
        return train_command(given[1:])

    def run() -> None:
        from trainer.commands import find_command, show_help

        if not given or given[0] in ("-h", "--help"):
            show_help()
            return
        with loading():
            command = find_command(given[0])
        command(given[1:])

    return guarded("trainer", run)


def sleep_between_parallel_regions() -> None:
    """Let torch's threads sleep where they would wait for each other in a busy loop.

    OpenMP spins by default. On a machine that does something else too, the waiting thread then
    takes the core that the late one needs: beside one busy process on two cores, steps were 15
    times as slow. OpenMP reads the variable when torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def train(arguments: Sequence[str]) -> None:
    """Train, by itself or as one of several processes."""
    place = find_place()
    if place is None:
        if directory := value_of("--run-dir", arguments):
            # Known before torch is loaded, which takes seconds.
            run_lock.check_free(Path(directory))
        lead(arguments, None)
        return
    from trainer.distributed import join

    with join(place, ending_status) as team:
        if team.leads:
            lead(arguments, team)
        else:
            from trainer.following import follow

            follow(team)


def lead(arguments: Sequence[str], team: "ProcessTeam | None") -> None:
    """Read the command line and train; other processes, if any, follow."""
    with loading():
        from trainer.display import Display
        from trainer.flags import parse_train_config, split_arguments
        from trainer.presets import PRESETS
        from trainer.session import run_training

        preset, file, flags = split_arguments(arguments)
        name, base = starting_point(preset, flags)
    config = parse_train_config(
        flags,
        base,
        prog="train [PRESET] [--config FILE.toml]",
        description=TRAIN_HELP.format(presets=", ".join(PRESETS)),
        file=file,
    )
    run_training(config, name, ["train", *arguments], Display(), team)


def starting_point(preset: str | None, flags: Sequence[str]) -> "tuple[str, TrainConfig]":
    """Return the name and the configuration that file and flags are laid over.

    That is the preset; or, if none is named and the run directory holds a run, its configuration.
    """
    from trainer.flags import config_from_mapping
    from trainer.presets import DEFAULT_PRESET, PRESETS
    from trainer.run_directory import RunDirectory, read_json
    from trainer.words import unknown_word

    if preset is not None and preset not in PRESETS:
        if Path(preset).is_file():
            raise ValueError(
                f"unknown preset {preset!r}: to train on this text, --data.corpus {preset}"
            )
        otherwise = f"there are {', '.join(PRESETS)}"
        raise ValueError(unknown_word("preset", preset, PRESETS, otherwise=otherwise))
    directory = value_of("--run-dir", flags)
    if preset is None and directory:
        run = RunDirectory(Path(directory))
        if run.holds_run():
            saved = config_from_mapping(run.read_config(), run.config)
            name = str(read_json(run.record).get("preset", "")) or DEFAULT_PRESET
            # `--resume never` was meant for that one command.
            return name, dataclasses.replace(saved, resume="auto")
    name = preset or DEFAULT_PRESET
    return name, PRESETS[name]


def value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """Return the value that a command line gives to `flag`, None where it gives none."""
    found = None
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name.replace("_", "-") == flag:
            found = value if equals else "".join(arguments[index + 1 : index + 2])
    return found


def guarded(name: str, command: Callable[[], None]) -> int:
    """Run a command; turn what a person can mend into one line on standard error."""
    # What the tokenizer would log is shown by our own display.
    logging.getLogger("bpe").addHandler(logging.NullHandler())
    try:
        command()
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except StopRequested as stop:
        print(f"{name}: {stop}", file=sys.stderr)
        return stop.exit_status
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        status = exit_status(error)
        if status is None or os.environ.get("GROUNDUP_TRACEBACK"):
            raise
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return status
    return 0


def ending_status(error: BaseException) -> int:
    """Return the exit status of a process that `error` ends, whatever it is."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, StopRequested):
        return error.exit_status
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    return exit_status(error) or 1


def exit_status(error: BaseException) -> int | None:
    """Return the exit status for an error, or None for one that is a mistake of ours."""
    if type(error) is ValueError or isinstance(error, run_lock.RunLockedError):
        return 2
    # Imported late: the line above has to be quick.
    from torch import OutOfMemoryError

    from trainer.checkpoints import CorruptCheckpointError, SaveError
    from trainer.nonfinite import NonFiniteError

    if isinstance(error, NonFiniteError):
        return 1
    if isinstance(error, CorruptCheckpointError):
        return 3
    if isinstance(error, MemoryError | OutOfMemoryError | SaveError):
        return 4
    if isinstance(error, OSError):
        return 4 if error.errno in NO_SPACE else 2
    return 2 if isinstance(error, ValueError) else None


@contextmanager
def loading() -> Iterator[None]:
    """Say on a terminal that the libraries are being loaded, and wipe that out again."""
    shown = sys.stderr.isatty()
    if shown:
        print("loading ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
