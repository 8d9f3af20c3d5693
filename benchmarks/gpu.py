"""Measure training on one GPU: the kernels, the model on them, and torch's own layers beside it.

    python benchmarks/gpu.py

runs from a checkout with torch, triton, numpy, einops, jaxtyping and beartype, nothing installed of
ours, and takes a few minutes. It checks and times every kernel, trains the TinyStories model (batch
128 x 256) in each variant below for some steps, extrapolates the run of 327,680,000 tokens, prints
the tables and writes them to benchmarks/results/gpu.md. `--only TEXT` keeps the variants whose name
has TEXT in it. `--device cpu --tiny` tries all of it in small on a machine without a GPU, with the
kernels in Triton's interpreter and in float32; it writes nothing, and its times mean nothing (the
interpreter of Triton 3.6, which comes with torch 2.11, works with numpy 2.2 and not with 2.4).
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCES = [str(ROOT / "packages" / name / "src") for name in ("contracts", "nn", "optim")]

RUN_TOKENS = 327_680_000
WANTED = 1_800_000
# A kernel in bfloat16 is wrong above this; rounding alone makes about 0.003.
LARGEST_ERROR = 1e-2


@dataclass(frozen=True)
class Variant:
    """One way to train the model: arguments of gpu_training.py, and which kernels may serve."""

    name: str
    model: str
    kernels: str
    compile: str
    weights: str = "float32"


VARIANTS = [
    Variant("torch layers, eager", "torch", "reference", "off"),
    Variant("torch layers, compiled", "torch", "reference", "default"),
    Variant("torch layers, compiled, CUDA graphs", "torch", "reference", "reduce-overhead"),
    Variant(
        "torch layers, compiled, CUDA graphs, bf16",
        "torch",
        "reference",
        "reduce-overhead",
        "bfloat16",
    ),
    Variant("ours, plain, eager", "ours", "reference", "off"),
    Variant("ours, plain, compiled", "ours", "reference", "default"),
    Variant("ours, kernels, eager", "ours", "auto", "off"),
    Variant("ours, kernels, compiled", "ours", "auto", "default"),
    Variant("ours, all kernels, compiled", "ours", "all", "default"),
    Variant("ours, kernels, compiled, CUDA graphs", "ours", "auto", "reduce-overhead"),
    Variant(
        "ours, kernels, compiled, CUDA graphs, bf16", "ours", "auto", "reduce-overhead", "bfloat16"
    ),
]


def run_child(script: str, arguments: list[str], kernels: str, *, interpret: bool) -> Any:
    """Run a script of this folder in a fresh process; return its JSON, or what went wrong."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*SOURCES, os.environ.get("PYTHONPATH", "")]),
        "NN_KERNELS": kernels,
        "JAXTYPING_DISABLE": "1",
    }
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    finished = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == 0:
        return json.loads(finished.stdout.splitlines()[-1])
    lines = finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"]
    print(finished.stderr, file=sys.stderr)
    return {"failed": lines[-1][:100]}


def measure_kernels(options: argparse.Namespace) -> Any:
    """Check and time the kernels."""
    arguments = ["--device", options.device]
    if options.tiny:
        arguments += ["--tiny", "--backend", "aot_eager"]
    return run_child("gpu_kernels.py", arguments, "reference", interpret=options.device == "cpu")


def measure_training(variant: Variant, options: argparse.Namespace) -> Any:
    """Train one variant."""
    arguments = ["--device", options.device, "--model", variant.model]
    arguments += ["--compile", variant.compile, "--weights", variant.weights]
    kernels = variant.kernels
    if options.tiny:
        arguments += ["--tiny", "--batch-size", "2", "--warmup", "1", "--steps", "1"]
        arguments += ["--windows", "2", "--backend", "aot_eager"]
        # What is automatic on a GPU has to be asked for in the interpreter.
        kernels = "all" if kernels == "auto" else kernels
    interpret = options.device == "cpu" and kernels == "all"
    return run_child("gpu_training.py", arguments, kernels, interpret=interpret)


def kernel_table(found: Any) -> list[str]:
    """Return the rows of the kernels' table."""
    if "failed" in found:
        return [f"The kernels could not be measured: {found['failed']}"]
    rows = [
        "| forward and backward, ms | error | of gradients | kernel | plain | compiled | torch |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["kernels"]:
        times = row["milliseconds"]
        cells = [
            f"{times[name]:.3f}" if isinstance(times.get(name), float) else times.get(name, "-")
            for name in ("kernel", "plain", "compiled", "torch")
        ]
        largest = max(row["output_error"], row["gradient_error"])
        # NaN is not below anything.
        wrong = "" if largest < LARGEST_ERROR else " WRONG"
        rows.append(
            f"| {row['name']}{wrong} | {row['output_error']:.1e} | {row['gradient_error']:.1e} | "
            + " | ".join(cells)
            + " |"
        )
    return rows


def training_table(found: dict[str, Any], flops_per_token: float, ceiling: float) -> list[str]:
    """Return the rows of the training table; `ceiling` is the machine's measured FLOP rate."""
    rows = [
        "| variant | tokens/s | spread | MFU | peak memory | whole run | until first step |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        if "failed" in one:
            rows.append(f"| {name} | {one['failed']} | | | | | |")
            continue
        rate = one["tokens_per_second"]
        peak = "-" if one["peak_bytes"] is None else f"{one['peak_bytes'] / 2**30:.2f} GiB"
        rows.append(
            f"| {name} | {rate:,.0f} | {one['spread']:.1%} | {rate * flops_per_token / ceiling:.1%}"
            f" | {peak} | {RUN_TOKENS / rate / 60:.2f} min | {one['seconds_to_first_step']:.0f} s |"
        )
    return rows


def report(kernels: Any, training: dict[str, Any], machine: str) -> str:
    """Return the whole page."""
    sys.path[:0] = SOURCES
    from gpu_training import TINYSTORIES

    from nn.accounting import count_backward_flops, count_forward_flops

    flops = sum(count_forward_flops(TINYSTORIES).values())
    flops += sum(count_backward_flops(TINYSTORIES).values())
    ceilings = kernels.get("ceilings", {"flops": float("nan"), "bytes_per_second": float("nan")})
    floor = RUN_TOKENS * flops / ceilings["flops"]
    today = datetime.datetime.now(datetime.UTC)
    lines = [
        "# Training on one GPU",
        "",
        f"{machine}, {today:%Y-%m-%d}. Written by `python benchmarks/gpu.py`.",
        "",
        f"The machine copies {ceilings['bytes_per_second'] / 1e12:.2f} TB/s (read and written) and",
        f"multiplies {ceilings['flops'] / 1e12:.0f} TFLOP/s (8192 x 8192 x 8192, bfloat16, random",
        "numbers); MFU is counted against the latter. The TinyStories model takes",
        f"{flops / 1e6:.1f} MFLOP a token, forward and backward, so that its {RUN_TOKENS:,} tokens",
        f"take {floor:.0f} s at least. Wanted: {WANTED:,} tokens/s.",
        "",
        "## Kernels",
        "",
        "Errors are relative to float64. Times are medians of CUDA graph replays, bfloat16.",
        "",
        *kernel_table(kernels),
        "",
        "## Training, batch 128 x 256",
        "",
        "Whole steps: forward, backward, clipping, AdamW. Median of five windows of 20 steps;",
        "spread is their range over the median. Products in bfloat16 by autocast over float32",
        "weights, or (bf16) weights in bfloat16 with float32 copies that the optimizer keeps.",
        "",
        *training_table(training, flops, ceilings["flops"]),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure everything and write the page; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="try it in small")
    parser.add_argument("--only", default="", help="variants whose name has this in it")
    parser.add_argument("--out", type=Path, help="where to write the page")
    options = parser.parse_args()
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu.py: torch finds no CUDA device; to try it without one: --device cpu --tiny")
        return 2
    if options.device == "cpu" and not options.tiny:
        print("gpu.py: --device cpu needs --tiny: the whole would take hours in the interpreter")
        return 2
    import triton

    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, in small"
    machine = (
        f"{name}, torch {torch.__version__}, triton {triton.__version__}, "
        f"Python {platform.python_version()}"
    )
    print(machine, flush=True)
    out = options.out or (None if options.tiny else HERE / "results" / "gpu.md")
    kernels = measure_kernels(options)
    print("\n".join(kernel_table(kernels)), flush=True)
    training = {}
    for variant in VARIANTS:
        if options.only not in variant.name:
            continue
        training[variant.name] = measure_training(variant, options)
        print(variant.name, json.dumps(training[variant.name]), flush=True)
        page = report(kernels, training, machine)
        if out is not None:
            # After each variant, so that a run that is cut off leaves what it found.
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(page)
    print(page if training else f"no variant has {options.only!r} in its name")
    failed = [name for name, one in training.items() if "failed" in one]
    wrong = "failed" in kernels or any(" WRONG" in row for row in kernel_table(kernels))
    return 1 if failed or wrong or not training else 0


if __name__ == "__main__":
    sys.exit(main())
