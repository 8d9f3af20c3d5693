"""Measure training on a CPU: our model beside torch's own layers and transformers' Llama.

    uv run --group bench benchmarks/training.py

takes about an hour: three sizes of the model, 2,048 tokens a step in sequences of 128, 256 and
1,024. Contenders take their steps in turn, A B C A B C, in one process, so that a machine that
slows down slows all; peak memory is that of a process for each. It prints the tables and writes
them to benchmarks/results/training.md. `--quick` takes the 1M model at one length, does not
compile, and writes nothing. `--only SIZE` keeps one size. `--processor-time` is for a machine that
others use too: one thread, and its own time instead of the clock's.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training_models import CONTENDERS, SIZES

HERE = Path(__file__).resolve().parent
PAGE = HERE / "results" / "training.md"
TOKENS = 2048
CONTEXTS = (128, 256, 1024)


def run_child(work: str, options: argparse.Namespace, *arguments: str) -> Any:
    """Run training_work.py in a fresh process; return what it found, or what went wrong."""
    command = [sys.executable, str(HERE / "training_work.py"), work, *arguments]
    command += ["--rounds", str(options.rounds)]
    if options.processor_time:
        command.append("--processor-time")
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        print(finished.stderr, file=sys.stderr)
        raise SystemExit(f"{' '.join(command[1:])} ended with status {finished.returncode}")
    return json.loads(finished.stdout.splitlines()[-1])


def measure_steps(size: str, context: int, options: argparse.Namespace) -> list[str]:
    """Return the table of whole steps of one model at one length."""
    names = [name for name in CONTENDERS if not options.quick or "eager" in name]
    batch_size = str(TOKENS // context)
    place = ("--size", size, "--context", str(context), "--batch-size", batch_size)
    seconds = run_child("speed", options, *place, "--contenders", *names)
    rows = [
        f"### {size}, context {context}, batch {batch_size}",
        "",
        "| | tokens/s | over torch's layers, eager | over them compiled | peak memory, MB |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        memory = run_child("memory", options, *place, "--contenders", name)
        ratios = [
            f"{seconds[peer] / seconds[name]:.2f}" if peer in seconds else "-"
            for peer in ("torch layers, eager", "torch layers, compiled")
        ]
        peak = (memory["peak"] - memory["before"]) / 1e6
        cells = [name, f"{TOKENS / seconds[name]:,.0f}", *ratios, f"{peak:,.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, ""]


def measure_parts(options: argparse.Namespace) -> list[str]:
    """Return the tables of the optimizer's step and of the functions."""
    place = ("--size", "1M" if options.quick else "17M")
    updates = run_child("optimizer", options, *place)
    rows = ["### AdamW alone", "", "| | ms | speed of ours over it |", "|---|---|---|"]
    rows += [
        f"| {name} | {1e3 * found:.1f} | {found / updates['ours']:.2f} |"
        for name, found in updates.items()
    ]
    rows += ["", "### Functions, forward and backward", ""]
    rows += ["| | ours, ms | torch, ms | speed of ours over torch's |", "|---|---|---|---|"]
    for name, pair in run_child("functions", options, *place).items():
        ours, torch = pair["ours"], pair["torch"]
        rows.append(f"| {name} | {1e3 * ours:.1f} | {1e3 * torch:.1f} | {torch / ours:.2f} |")
    return [*rows, ""]


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
        f"float32, {clock}; medians of {options.rounds} rounds in turn. A step is forward,",
        "backward, clipping and AdamW (the others take torch's fused one) on 2,048 tokens. Peak",
        "memory is what a process of its own needs beyond its imports.",
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
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    sizes = [options.only] if options.only else ["1M"] if options.quick else list(SIZES)
    page = describe(options)
    for size in sizes:
        for context in CONTEXTS[:1] if options.quick else CONTEXTS:
            page += measure_steps(size, context, options)
            print("\n".join(page[-len(CONTENDERS) - 6 :]), flush=True)
    parts = measure_parts(options)
    print("\n".join(parts))
    if not options.quick:
        PAGE.write_text("\n".join(page + parts))


if __name__ == "__main__":
    main()
