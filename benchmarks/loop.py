"""Measure what the trainer's loop costs beside the bare step, on a CPU.

    uv run benchmarks/loop.py

takes about three minutes. The TinyStories model (4 layers, width 512, vocabulary 10,000, context
256) takes its steps in the trainer's own loop and in a plain `for` loop over the same model:
forward, backward, clip, AdamW, on a batch that is in memory already. Both in one process, in turn,
after steps that do not count; a small batch, so that what a step costs beside its products shows.
Time is the clock's and the processor's: on a machine that others use too, the second is steadier.
Then: how fast batches are read from a memory map, and how long a checkpoint holds the loop up. The
page is written to benchmarks/results/loop.md. `--tiny` takes a small model and writes nothing.
"""

import argparse
import dataclasses
import datetime
import io
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from bpe import Tokenizer
from optim import clip_grad_norm
from trainer import checkpoints
from trainer.batches import SequenceSampler, gather_windows
from trainer.config import CheckpointConfig, DataConfig, EvalConfig, SampleConfig, TrainConfig
from trainer.display import Display
from trainer.loop import build, train
from trainer.prefetch import Prefetcher
from trainer.prepared import PreparedData
from trainer.presets import TINYSTORIES
from trainer.run_directory import RunDirectory
from trainer.saver import Saver

PAGE = Path(__file__).resolve().parent / "results" / "loop.md"
CPU = torch.device("cpu")
LOG_EVERY = 10
# Of bytes and one special token; the ids of the benchmark are drawn at random.
END = "<|endoftext|>"

Seconds = tuple[float, float]
"""By the clock, and of the processor."""


@dataclasses.dataclass(frozen=True)
class TimedRun(RunDirectory):
    """Notes the time of every logged step."""

    times: list[Seconds] = dataclasses.field(default_factory=list)

    def append_metrics(self, row: Any) -> None:
        super().append_metrics(row)
        self.times.append(now())


def now() -> Seconds:
    return time.perf_counter(), time.process_time()


def since(begun: Seconds) -> Seconds:
    return now()[0] - begun[0], now()[1] - begun[1]


def configuration(tiny: bool, steps: int) -> TrainConfig:
    model = TINYSTORIES.model
    if tiny:
        model = dataclasses.replace(
            model, vocab_size=257, d_model=32, d_ff=64, num_layers=1, num_heads=2
        )
    return TrainConfig(
        # The last step is evaluated, sampled and saved: it is not one of those that count.
        max_steps=LOG_EVERY + steps + 1,
        batch_size=2,
        device="cpu",
        log_every=LOG_EVERY,
        model=model,
        optimizer=TINYSTORIES.optimizer,
        schedule=dataclasses.replace(TINYSTORIES.schedule, warmup_steps=3),
        data=DataConfig(vocab_size=model.vocab_size),
        eval=EvalConfig(every=10**6, windows=1, final_windows=1),
        checkpoint=CheckpointConfig(every=10**6),
        sample=SampleConfig(every=0, max_tokens=1),
    )


def prepared(directory: Path, config: TrainConfig, num_tokens: int) -> PreparedData:
    """Write random ids to a file and map it, with a tokenizer that knows enough to decode them."""
    ids = np.random.default_rng(0).integers(0, 257, num_tokens, dtype=np.uint16)
    np.save(directory / "train.npy", ids)
    tokens = np.load(directory / "train.npy", mmap_mode="r")
    vocab = {0: END.encode()} | {byte + 1: bytes([byte]) for byte in range(256)}
    return PreparedData(
        directory=directory,
        tokenizer=Tokenizer(vocab, [], [END]),
        train=tokens,
        valid=tokens[:5000],
        train_bytes=None,
        valid_bytes=None,
        valid_entropy=None,
        identity={},
    )


def in_the_loop(config: TrainConfig, data: PreparedData, directory: Path) -> Seconds:
    """Return the seconds between the first logged step and the last but the very last one."""
    directory.mkdir()
    run = TimedRun(directory)
    train(config, run, data, CPU, Display(Console(file=io.StringIO())), identity={})
    first, *_, last, _ = run.times
    return last[0] - first[0], last[1] - first[1]


def bare(config: TrainConfig, data: PreparedData, steps: int) -> Seconds:
    model, optimizers = build(config, CPU)
    parameters = list(model.parameters())
    starts = np.arange(config.batch_size)
    inputs, targets = gather_windows(data.train, starts, config.model.context_length, CPU)
    begun = now()
    for step in range(LOG_EVERY + steps):
        if step == LOG_EVERY:
            begun = now()
        model.loss(inputs, targets).backward()  # type: ignore[no-untyped-call]
        clip_grad_norm(parameters, config.optimizer.max_grad_norm)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return since(begun)


def loading(data: PreparedData, config: TrainConfig, batches: int) -> float:
    """Return the tokens per second that come from the memory map."""
    length = config.model.context_length
    sequences = SequenceSampler(0, len(data.train), length, 32)
    with Prefetcher(sequences, data.train, CPU, first=1) as ahead:
        ahead.next()
        begun = time.perf_counter()
        for _ in range(batches):
            ahead.next()
        return batches * 32 * length / (time.perf_counter() - begun)


def saving(config: TrainConfig, directory: Path, repeats: int) -> list[float]:
    """Return the seconds for which each of several checkpoints holds the loop up."""
    model, optimizers = build(config, CPU)
    inputs = torch.zeros(1, 8, dtype=torch.int64)
    model.loss(inputs, inputs).backward()  # type: ignore[no-untyped-call]
    for optimizer in optimizers:
        optimizer.step()
    directory.mkdir()
    saver = Saver(directory / "c", lambda: (model, optimizers), identity={}, keep=1, warn=print)
    seconds = []
    for step in range(1, repeats + 1):
        begun = time.perf_counter()
        saver.save(checkpoints.Counters(step, 0, 0.0))
        seconds.append(time.perf_counter() - begun)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a small model; writes no page")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20, help="steps of a round that count")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    config = configuration(options.tiny, options.steps)
    found: dict[str, list[Seconds]] = {"loop": [], "bare": []}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        data = prepared(directory, config, 10**6 if options.tiny else 10**8)
        for turn in range(options.rounds):
            for kind in sorted(found, reverse=bool(turn % 2)):
                if kind == "bare":
                    seconds = bare(config, data, options.steps)
                else:
                    seconds = in_the_loop(config, data, directory / f"run-{turn}")
                found[kind].append(seconds)
                print(
                    f"{kind}: {seconds[0]:.2f} s, {seconds[1]:.2f} s of the processor", flush=True
                )
        read = loading(data, config, 20 if options.tiny else 400)
        saved = saving(config, directory / "saving", 5)
    tokens = options.steps * config.tokens_per_step
    speeds = {kind: [tokens / clock for clock, _ in each] for kind, each in found.items()}
    lines = [
        "# The loop beside the bare step",
        "",
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, load {load:.1f} before it began; made by "
        "`benchmarks/loop.py`.",
        "",
        f"{options.rounds} rounds of {options.steps} steps of {config.batch_size} sequences of "
        f"{config.model.context_length} tokens; logged every {LOG_EVERY} steps.",
        "",
        "| | tokens/s, median | range |",
        "|---|---|---|",
    ]
    for kind, title in (("bare", "bare step"), ("loop", "trainer's loop")):
        each = speeds[kind]
        span = f"{min(each):,.0f} to {max(each):,.0f}"
        lines.append(f"| {title} | {statistics.median(each):,.0f} | {span} |")
    by_clock, by_processor = (
        statistics.median(b[i] / a[i] for a, b in zip(found["loop"], found["bare"], strict=True))
        for i in (0, 1)
    )
    # The fastest that any round was: what else the machine did only made it slower.
    consumed = max(*speeds["loop"], *speeds["bare"])
    lines += [
        "",
        f"Loop over bare step, median of the rounds: {by_clock:.3f} by the clock, "
        f"{by_processor:.3f} by the processor's time (wanted: at least 0.97).",
        "",
        f"Batches from a memory map: {read:,.0f} tokens/s, {read / consumed:,.0f} times what the "
        f"fastest round consumed (wanted: 50).",
        "",
        f"A checkpoint holds the loop up for {statistics.median(saved):.2f} s, median of "
        f"{len(saved)}, {min(saved):.2f} to {max(saved):.2f} (wanted: below 1).",
        "",
    ]
    print("\n".join(lines))
    if not options.tiny:
        PAGE.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
