"""Measure training on a CPU: our model beside torch's own layers and transformers' models.

    uv run --group bench benchmarks/training.py

takes almost half an hour: three sizes of the model, 2,048 tokens a step in sequences of 128, 256
and 1,024. Each contender is a process of its own, as within one they would live on each other's
memory; they take their steps in turn, A B C A B C, so that a machine that slows down slows all.
What matters most comes first, and after every table the page benchmarks/results/training.md is
written anew with all that there is. `--quick` takes the 1M model at one length, does not compile,
and writes nothing. `--only SIZE` keeps one size. `--processor-time` is for a machine that others
use too: one thread, and its own time instead of the clock's.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from training_models import CONTENDERS, SIZES

HERE = Path(__file__).resolve().parent
PAGE = HERE / "results" / "training.md"
TOKENS = 2048
CONTEXTS = (256, 1024, 128)
# A step of the larger takes seconds.
ROUNDS = {"17M": 7, "1M": 25, "50M": 3}
# Where every contender is compiled, which takes minutes.
ALL_COMPILED = {("17M", 256)}
# Seconds in which the threads of the process that had its turn stop waiting for more work.
PAUSE = 0.02


class Contestant:
    """A process that takes a step when told to."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.seconds: list[float] = []
        self.process = subprocess.Popen(
            [*command, "--contender", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self._answer() == "ready"
        print(f"  {name}: {'ready' if self.ready else 'failed'}", flush=True)

    def step(self) -> None:
        """Have a step taken and note its seconds."""
        assert self.process.stdin is not None
        print("step", file=self.process.stdin, flush=True)
        self.seconds.append(float(self._answer()))
        time.sleep(PAUSE)

    def end(self) -> float:
        """End the process; return the memory it needed in bytes."""
        peak, _ = self.process.communicate()
        return float(peak)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def work_command(work: str, options: argparse.Namespace, *arguments: str) -> list[str]:
    """Return the command for something that training_work.py does."""
    command = [sys.executable, str(HERE / "training_work.py"), work, *arguments]
    if options.processor_time:
        command.append("--processor-time")
    print(f"{time.strftime('%H:%M:%S')} {work} {' '.join(arguments)}", flush=True)
    return command


def run_child(work: str, options: argparse.Namespace, rounds: int, *arguments: str) -> Any:
    """Run training_work.py in a fresh process; return what it found, or nothing if it failed."""
    command = work_command(work, options, *arguments, "--rounds", str(rounds))
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode != 0:
        print(f"{' '.join(command[1:])} ended with status {finished.returncode}", file=sys.stderr)
        return {}
    return json.loads(finished.stdout.splitlines()[-1])


def measure_steps(
    size: str, context: int, options: argparse.Namespace
) -> tuple[list[str], dict[str, float]]:
    """Return the table of whole steps of one model at one length, and their seconds."""
    everyone = (size, context) in ALL_COMPILED
    names = [
        name
        for name in CONTENDERS
        if "eager" in name or (not options.quick and (everyone or "transformers" not in name))
    ]
    batch_size = str(TOKENS // context)
    place = ("--size", size, "--context", str(context), "--batch-size", batch_size)
    rounds = options.rounds or ROUNDS[size]
    command = work_command("steps", options, *place)
    contestants = [each for name in names if (each := Contestant(name, command)).ready]
    for _ in range(rounds):
        for each in contestants:
            each.step()
    seconds = {each.name: median(each.seconds) for each in contestants}
    peaks = {each.name: each.end() for each in contestants}
    print({name: round(TOKENS / found) for name, found in seconds.items()}, flush=True)
    rows = [
        f"### {size}, context {context}, batch {batch_size}: medians of {rounds} rounds",
        "",
        "| | tokens/s | over torch's layers, eager | over them compiled | peak memory, MB |",
        "|---|---|---|---|---|",
    ]
    for name in seconds:
        ratios = [
            f"{seconds[peer] / seconds[name]:.2f}" if peer in seconds else "-"
            for peer in ("torch layers, eager", "torch layers, compiled")
        ]
        peak = f"{peaks[name] / 1e6:,.0f}"
        rows.append(f"| {name} | {TOKENS / seconds[name]:,.0f} | {' | '.join(ratios)} | {peak} |")
    return [*rows, ""], seconds


def measure_parts(options: argparse.Namespace) -> list[str]:
    """Return the tables of the optimizer's step and of the functions."""
    size = "1M" if options.quick else "17M"
    rounds = options.rounds or ROUNDS[size]
    updates = run_child("optimizer", options, rounds, "--size", size)
    rows = ["### AdamW alone", "", "| | ms | speed of ours over it |", "|---|---|---|"]
    rows += [
        f"| {name} | {1e3 * found:.1f} | {found / updates['ours']:.2f} |"
        for name, found in updates.items()
    ]
    rows += ["", "### Functions, forward and backward", ""]
    rows += ["| | ours, ms | torch, ms | speed of ours over torch's |", "|---|---|---|---|"]
    for name, pair in run_child("functions", options, rounds, "--size", size).items():
        ours, torch = pair["ours"], pair["torch"]
        rows.append(f"| {name} | {1e3 * ours:.1f} | {1e3 * torch:.1f} | {torch / ours:.2f} |")
    return [*rows, ""]


def compare_lengths(short: dict[str, float], long: dict[str, float]) -> list[str]:
    """Return how much of its speed each contender keeps at the longer context."""
    kept = [f"{name} {short[name] / long[name]:.2f}" for name in short if name in long]
    return [f"Tokens per second at 1,024 over those at 256: {'; '.join(kept)}.", ""]


def describe(options: argparse.Namespace) -> list[str]:
    """Return the head of the page: when, where and how."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    clock = (
        "one thread, its processor time" if options.processor_time else f"{os.cpu_count()} threads"
    )
    return [
        "# Training on a CPU",
        "",
        f"{datetime.date.today()}, {processor()}, Python {platform.python_version()}, {versions};",
        f"float32, {clock}; each a process of its own, rounds in turn. A step is forward,",
        "backward, clipping and AdamW on 2,048 tokens. The others take torch's fused AdamW, ours",
        "its own, fused where the rest is compiled. Peak memory is what the process needs beyond",
        "its imports. GPT-2 is set up as in nanoGPT (which is no package), with a feed-forward",
        "network of 4 d_model.",
        "",
    ]


def processor() -> str:
    """Return the name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else platform.machine()


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=SIZES)
    parser.add_argument("--rounds", type=int, help="for all sizes; without, each has its own")
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    sizes = [options.only] if options.only else ["1M"] if options.quick else list(ROUNDS)
    page = describe(options)

    def add(rows: list[str]) -> None:
        page.extend(rows)
        print("\n".join(rows), flush=True)
        if not options.quick:
            PAGE.write_text("\n".join(page))

    # What the compiler has kept from before may be made from other code than this.
    kept = tempfile.TemporaryDirectory(prefix="groundup-compiled-")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = kept.name
    for index, size in enumerate(sizes):
        seconds = {}
        for context in CONTEXTS[:1] if options.quick else CONTEXTS:
            rows, seconds[context] = measure_steps(size, context, options)
            add(rows)
        if not options.quick:
            add(compare_lengths(seconds[256], seconds[1024]))
        if index == 0:
            add(measure_parts(options))
    kept.cleanup()


if __name__ == "__main__":
    main()
