"""What a person is told before the first step and after the last one."""

import math
import shlex
from collections.abc import Mapping
from typing import Any

import torch

from nn.accounting import count_parameters
from trainer import checkpoints
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.evaluation import bits_per_byte, other_units
from trainer.loop import Outcome
from trainer.prepared import PreparedData
from trainer.run_directory import RunDirectory
from trainer.samples import PROMPT_TOKENS


def describe_model(
    display: Display,
    config: TrainConfig,
    data: PreparedData,
    device: torch.device,
    processes: int = 1,
    *,
    done: int = 0,
) -> None:
    """Say what is about to be trained, and how; `done` steps have been taken before."""
    model = config.model
    parameters = sum(count_parameters(model).values())
    state = f"those of step {done:,}" if done else "random numbers so far"
    display.stage("Model", f"a Transformer whose weights are {state}")
    display.detail(
        f"{human_count(parameters)} parameters: {model.num_layers} layers of width "
        f"{model.d_model}, {model.num_heads} heads, up to {model.context_length} tokens at once"
    )
    tokens = config.max_steps * config.tokens_per_step
    display.stage(
        "Training", "guesses the next token, everywhere at once, and corrects itself each time"
    )
    passes = tokens / len(data.train)
    display.detail(
        f"{config.max_steps:,} steps of {config.batch_size} sequences: "
        f"{human_count(tokens)} tokens, {passes:.1f} times the text; "
        f"{config.optimizer.name} on {device}"
    )
    if processes > 1:
        shared = (
            "each with a part of the model" if config.parallel == "fsdp" else "each with a copy"
        )
        display.detail(
            f"{processes} processes ({config.parallel}), {shared}: "
            f"{config.batch_size // processes} sequences a step for each"
        )
    guess = math.log(model.vocab_size)
    floor = "" if data.floor is None else f"; no model can go below {data.floor:.3f}"
    display.detail(f"guessing blindly, the loss is {guess:.2f} nats per token{floor}")


def show_outcome(
    display: Display, config: TrainConfig, run: RunDirectory, data: PreparedData, outcome: Outcome
) -> dict[str, Any]:
    """Draw the curves, print the result, and return it as plain data."""
    result = {
        "steps": outcome.steps,
        "tokens": outcome.tokens,
        "seconds": round(outcome.seconds, 1),
        "train_loss": outcome.train_loss,
        **losses(data, outcome.val_loss),
    }
    display.stage("Result", "measured on text that the model has never seen")
    with display.progress("drawing the curves"):
        # matplotlib takes a second to import, and --help needs none of it.
        from trainer.plots import plot_curves

        title = f"{run.path.name}: {outcome.steps:,} steps, {human_count(outcome.tokens)} tokens"
        plot_curves(list(run.read_metrics()), run.curves, title=title, floor=data.floor)
    display.result("training loss", f"{outcome.train_loss:.3f}", "nats per token, last batch")
    display.result("validation loss", f"{outcome.val_loss:.3f}", "nats per token")
    display.result(
        "perplexity",
        f"{result['perplexity']:.2f}",
        "as unsure as between that many equally likely tokens",
    )
    display.result("time", human_time(result["seconds"]), f"{human_count(outcome.tokens)} tokens")
    for text in outcome.samples:
        display.blank()
        display.sample("it writes", text, limit=2000)
    display.blank()
    display.stage("Files", str(run.path))
    display.result("model/ tokenizer/", "what generate reads")
    display.result("curves.png", "the losses over the steps")
    display.result("samples.md", "what it wrote on the way")
    display.result("metrics.jsonl", "every logged step", "with config.json, run.json, checkpoints/")
    display.blank()
    display.stage("Next", "three commands to try")
    for text, note in next_commands(config, run, data, outcome):
        display.command(text, note)
    display.blank()
    display.line(verdict(result))
    return result


def verdict(result: Mapping[str, Any]) -> str:
    """Say in one line how good the model is, against the best possible where that is known."""
    loss = f"validation loss {result['val_loss']:.3f} nats per token"
    if "bits_per_byte" not in result:
        return loss
    loss += f" = {result['bits_per_byte']:.4f} bits per byte"
    if "entropy_floor" not in result:
        return loss
    return (
        f"{loss}; entropy of the text {result['entropy_floor']:.3f} = "
        f"{result['entropy_floor_bits_per_byte']:.4f}: {result['above_floor']:.3f} above the floor"
    )


def next_commands(
    config: TrainConfig, run: RunDirectory, data: PreparedData, outcome: Outcome
) -> list[tuple[str, str]]:
    """Return commands that make sense after this run, each with what it does."""
    prompt = "Once upon a time"
    if data.floor is None:
        beginning = data.tokenizer.decode(data.valid[:PROMPT_TOKENS])
        prompt = config.sample.prompt or " ".join(beginning.split()[:4]) or "The"
    path = shlex.quote(str(run.path))
    train = "uv run --package trainer train"
    generate = f"uv run --package sampling generate {path} --prompt {shlex.quote(prompt)}"
    other = (f"{train} --data.corpus FILE.txt", "train on a text of your own")
    if data.floor is None:
        other = (f"uv run --package trainer trainer report {path}", "see its curves on one page")
    return [
        (generate, "let it go on with your words"),
        other,
        (f"{train} --run-dir {path} --max-steps {2 * config.max_steps}", "train twice as long"),
    ]


def losses(data: PreparedData, val_loss: float) -> dict[str, float]:
    """Return a validation loss in every unit, and beside the floor, as far as the data tells."""
    found = {"val_loss": val_loss, **other_units(val_loss, len(data.valid), data.valid_bytes)}
    if data.floor is not None and data.valid_bytes:
        found["entropy_floor"] = data.floor
        found["entropy_floor_bits_per_byte"] = bits_per_byte(
            data.floor, len(data.valid), data.valid_bytes
        )
        found["above_floor"] = val_loss - data.floor
    return found


def show_finished(
    display: Display, config: TrainConfig, run: RunDirectory, record: Mapping[str, Any]
) -> None:
    """Say that there is nothing left to do in a run directory."""
    steps = record["result"]["steps"]
    display.line(f"{run.path} is finished: {steps:,} of {config.max_steps:,} steps")
    display.command(
        f"uv run --package trainer train --run-dir {shlex.quote(str(run.path))} "
        f"--max-steps {2 * config.max_steps}",
        "train it longer",
    )
    display.blank()
    display.line(verdict(record["result"]))


def show_interrupted(display: Display, run: RunDirectory) -> None:
    """Say how a run that a person stopped goes on."""
    saved = checkpoints.steps(run.checkpoints)
    kept = f"{saved[-1].name} is saved" if saved else "nothing is saved yet"
    display.blank()
    display.command(
        f"uv run --package trainer train --run-dir {shlex.quote(str(run.path))}",
        f"interrupted; {kept}, and this goes on",
    )


def human_count(number: float) -> str:
    """Return a count as people say it: 1.12 million."""
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}"


def human_time(seconds: float) -> str:
    """Return a duration as people say it: 1 min 32 s.

    Halves are rounded up, as on the report's page.
    """
    minutes, rest = divmod(math.floor(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
