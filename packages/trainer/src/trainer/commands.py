"""The subcommands of `trainer`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from sampling.run_directory import load_run
from trainer import checkpoints
from trainer.config import DataConfig
from trainer.devices import resolve_device
from trainer.display import Display
from trainer.evaluation import evaluate, held_out_windows
from trainer.export_command import ExportFlags, export
from trainer.flags import parse, unknown_word
from trainer.log.command import log_command
from trainer.prepare_command import prepare_command
from trainer.prepared import open_prepared
from trainer.report.command import ReportFlags, report
from trainer.run_directory import RunDirectory, read_json
from trainer.summary import human_count, losses, verdict

COMMANDS = {
    "prepare": "from text, fetched or yours: split it, train a tokenizer, encode",
    "evaluate": "measure a run's model on all of its validation text",
    "verify": "compare a run's checkpoints with their manifests",
    "export": "write a run's model and tokenizer for transformers",
    "report": "compare runs: one page that needs no network, and pictures",
    "log": "write the experiment log of all runs, or conclude something from one",
}


@dataclass(frozen=True)
class EvaluateFlags:
    """Measure a run's model on all of its validation tokens."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = tyro.MISSING
    """Directory of a run."""
    tokens: Path | None = None
    """Measure on the validation tokens of this directory instead of the run's own."""
    batch_size: int = 32
    """Windows that pass through the model at once."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"--batch-size {self.batch_size}: it takes at least 1 window")


@dataclass(frozen=True)
class VerifyFlags:
    """Compare a run's checkpoints with their manifests."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = tyro.MISSING
    """Directory of a run."""


def run_command(arguments: Sequence[str]) -> None:
    """Run the subcommand that the first argument names."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: trainer COMMAND [--flag value ...]\n")
        for name, what in COMMANDS.items():
            print(f"  trainer {name:<10}{what}")
        print("\n`trainer COMMAND --help` lists its flags; `train` trains.")
        return
    name, rest = arguments[0], arguments[1:]
    prog = f"trainer {name}"
    if name == "prepare":
        prepare_command(rest, prog=prog)
    elif name == "evaluate":
        _evaluate(parse(rest, EvaluateFlags(), prog=prog))
    elif name == "verify":
        _verify(parse(rest, VerifyFlags(), prog=prog))
    elif name == "export":
        export(parse(rest, ExportFlags(), prog=prog))
    elif name == "report":
        report(parse(rest, ReportFlags(), prog=prog))
    elif name == "log":
        log_command(rest, prog=prog)
    else:
        otherwise = f"there are {', '.join(COMMANDS)}"
        raise ValueError(unknown_word("command", name, COMMANDS, otherwise=otherwise))


def _evaluate(flags: EvaluateFlags) -> None:
    device = resolve_device(flags.device)
    model, tokenizer = load_run(flags.run, device=device)
    record = read_json(RunDirectory(flags.run).record)
    data = open_prepared(flags.tokens or Path(record["data"]["directory"]))
    if data.tokenizer.sha256 != tokenizer.sha256:
        raise ValueError(f"{data.directory}: encoded by another tokenizer than {flags.run}'s")
    context_length = model.config.context_length
    data.check_context(context_length)
    windows = held_out_windows(data.valid, context_length, data.separator(_how_cut(flags.run)))
    display = Display()
    with display.progress("evaluating", len(windows.starts)) as meter:
        loss = evaluate(
            model,
            data.valid,
            windows,
            batch_size=flags.batch_size,
            device=device,
            progress=meter.update_share,
        )
    measured = human_count(windows.counted.sum())
    display.line(f"{measured} tokens: {verdict(losses(data, loss))}")


def _how_cut(run: Path) -> DataConfig:
    settings = RunDirectory(run).read_config()["data"]
    kept = {name: settings[name] for name in ("windows", "special_token") if name in settings}
    return DataConfig(**kept)


def _verify(flags: VerifyFlags) -> None:
    run = RunDirectory(flags.run)
    found = checkpoints.steps(run.checkpoints)
    if not found:
        raise ValueError(f"{flags.run} holds no checkpoint")
    corrupt = 0
    for directory in found:
        try:
            checkpoint = checkpoints.verify(directory)
        except checkpoints.CorruptCheckpointError as error:
            corrupt += 1
            print(f"{directory}: {error}")
        else:
            print(f"{directory}: step {checkpoint.step}, size and SHA-256 of every file are right")
    if corrupt:
        raise checkpoints.CorruptCheckpointError(
            f"{corrupt} of {len(found)} checkpoints of {flags.run} are corrupt; "
            f"train goes on from the last one that is not"
        )
