"""`trainer evaluate`: measure a run's model on all of its validation text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from sampling.run_directory import load_run
from trainer.config import DataConfig
from trainer.devices import resolve_device
from trainer.display import Display
from trainer.evaluation import evaluate, held_out_windows
from trainer.prepared import open_prepared
from trainer.run_directory import RunDirectory, read_json
from trainer.summary import human_count, losses, verdict


@dataclass(frozen=True)
class EvaluateFlags:
    """Measure a run's model on all of its validation tokens.

    Example: trainer evaluate runs/tiny-001
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = tyro.MISSING
    """Directory of a run."""
    tokens: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: none)")
    ] = None
    """Measure on the validation tokens of this directory instead of the run's own."""
    batch_size: Annotated[int, tyro.conf.arg(metavar="N")] = 32
    """Windows that pass through the model at once."""
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], tyro.conf.arg(metavar="NAME")] = "auto"
    """Where to compute: cpu, cuda, mps; or auto, the GPU where torch finds one (CUDA)."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"--batch-size {self.batch_size}: it takes at least 1 window")


def evaluate_command(flags: EvaluateFlags) -> None:
    """Measure the model, and print the loss in every unit."""
    device = resolve_device(flags.device)
    model, tokenizer = load_run(flags.run, device=device)
    record = read_json(RunDirectory(flags.run).record)
    data = open_prepared(flags.tokens or Path(record["data"]["directory"]))
    if data.tokenizer.sha256 != tokenizer.sha256:
        raise ValueError(f"{data.directory}: encoded by another tokenizer than {flags.run}'s")
    context_length = model.config.context_length
    data.check_context(context_length)
    how_read = _how_read(flags.run)
    windows = held_out_windows(data.valid, context_length, data.window_separator(how_read))
    display = Display()
    with display.progress("evaluating", len(windows.starts)) as meter:
        loss = evaluate(
            model,
            data.valid,
            windows,
            batch_size=flags.batch_size,
            device=device,
            progress=meter.update_share,
            isolated_by=data.isolating_separator(how_read),
        )
    measured = human_count(windows.counted.sum())
    display.line(f"{measured} tokens: {verdict(losses(data, loss))}")


def _how_read(run: Path) -> DataConfig:
    settings = RunDirectory(run).read_config()["data"]
    names = ("windows", "special_token", "isolate_documents")
    kept = {name: settings[name] for name in names if name in settings}
    return DataConfig(**kept)
