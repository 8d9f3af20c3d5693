"""Measure training and encoding against the peers, on this machine.

    uv run --group bench benchmarks/tokenizer.py [--corpus FILE] [--repeats N] [--only WORD]
                                                 [--slow-repeats N] [--out FILE]

Every measurement runs in a fresh process (`tokenizer_work.py`), the libraries in turn, on the same
files; medians of `--repeats` rounds are reported, as ratios to ours, and written to
benchmarks/results/tokenizer.md. Without `--corpus` the text is gathered from the installed Python
packages, 150 MB at least. It takes about a quarter of an hour, and wants a machine with nothing
else to do: the load that it found is part of the report, and beside the time by the clock stands
that of the processors, which suffers less from neighbours. The slow peers encode the first part of
the corpus; their rates do not depend on it.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "tokenizer.md"
# Peers that encode the first part of the corpus.
IN_PART = ("tiktoken", "tokenizers")
# Whoever takes most of the time in a kind of work: `--slow-repeats` is theirs.
SLOW = {"train": ("rustbpe", "tokenizers"), "encode": ("tokenizers",), "batch": ("tokenizers",)}
# Ours with the other rule for ties, to compare the merges.
OURS_HUGGINGFACE = "ours_huggingface"


@dataclass(frozen=True)
class Row:
    """One piece of work: what each library is asked to do, and what ours should reach."""

    name: str
    work: str
    peers: tuple[str, ...]
    arguments: tuple[str, ...]
    unit: str
    goal: str
    rates: bool = False
    part: str = ""


@dataclass
class Measured:
    """The measurements of one library in one row."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    results: set[str] = field(default_factory=set)
    num_bytes: int = 0


ALL = ("gigatoken", "rustbpe", "tokenizers", OURS_HUGGINGFACE)
ENCODERS = ("gigatoken", "tiktoken", "tokenizers")
ROWS = [
    *[
        Row(
            f"train {size:,}",
            "train",
            ALL,
            ("--vocab-size", str(size), "--threads", "2"),
            "s",
            "1.5x the fastest, no more memory than the leanest",
        )
        for size in (10_000, 32_000)
    ],
    *[
        Row(
            f"encode a file to {where}, {threads} thread{'s' * (threads > 1)}",
            "encode",
            ENCODERS,
            (*extra, "--threads", str(threads)),
            "MB/s",
            goal,
            rates=True,
        )
        for where, extra in (("a .npy file", ("--out",)), ("memory", ()))
        for threads, goal in ((1, "1x gigatoken"), (2, "1x gigatoken, 8x tiktoken, 25x tokenizers"))
    ],
    Row(
        "encode documents to lists, 2 threads",
        "batch",
        ENCODERS,
        ("--threads", "2"),
        "MB/s",
        "none; the 32 MB that tiktoken encodes",
        rates=True,
        part="tiktoken",
    ),
    Row("encode 1 KB in a loop", "document", ENCODERS, (), "us", "1x tiktoken"),
    Row("decode 10 million ids", "decode", ("gigatoken", "tiktoken"), (), "s", "1x tiktoken"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="UTF-8 text instead of that of the packages")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; medians are reported")
    parser.add_argument("--slow-repeats", type=int, help="rounds of the slowest peers")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the report goes")
    parser.add_argument("--only", default="", help="only rows whose name has this in it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bpe-benchmark-") as directory:
        report = _measure(options, Path(directory))
    print(report)
    if not options.only:
        options.out.write_text(report)


def _measure(options: argparse.Namespace, folder: Path) -> str:
    given = ["--corpus", str(options.corpus.resolve())] if options.corpus else []
    prepare = [sys.executable, str(HERE / "tokenizer_prepare.py"), str(folder), *given]
    # This compiles the kernels too, which a machine does once.
    subprocess.run(prepare, check=True)
    corpus = options.corpus or folder / "corpus.txt"
    lines = _header(corpus, options.repeats)
    for row in (row for row in ROWS if options.only in row.name):
        contestants = {library: Measured() for library in ("ours", *row.peers)}
        for number in range(options.repeats):
            for library, measured in contestants.items():
                if number >= _repeats(row, library, options):
                    continue
                path = _text_for(row, library, corpus, folder)
                found = _run(row.work, library, path, row.arguments, folder)
                measured.wall.append(found["wall"])
                measured.cpu.append(found["cpu"])
                measured.memory.append(found["memory"])
                measured.results.add(str(found["result"]))
                measured.num_bytes = path.stat().st_size
                print(f"  {row.name}: {library} {found['wall']:.4g} s", file=sys.stderr)
        lines += _table(row, contestants)
    if options.only in "scaling":
        lines += _scaling(corpus, folder, options.repeats)
    return "\n".join(lines) + "\n"


def _repeats(row: Row, library: str, options: argparse.Namespace) -> int:
    if row.work == "train" and library == OURS_HUGGINGFACE:
        return 1
    slow = library in SLOW.get(row.work, ()) and options.slow_repeats
    return int(slow or options.repeats)


def _text_for(row: Row, library: str, corpus: Path, folder: Path) -> Path:
    """Return what a library works on: the corpus, or its first part."""
    if row.part:
        return folder / f"{row.part}.txt"
    return folder / f"{library}.txt" if row.work == "encode" and library in IN_PART else corpus


def _run(
    work: str, library: str, corpus: Path, arguments: tuple[str, ...], folder: Path
) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "tokenizer_work.py"), work, library, str(corpus)]
    command += ["--tokenizer", str(folder / "tokenizer"), "--ids", str(folder / "ids.npy")]
    threads = arguments[arguments.index("--threads") + 1] if "--threads" in arguments else "1"
    environment = {**os.environ, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:])} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _table(row: Row, contestants: dict[str, Measured]) -> list[str]:
    ours = contestants["ours"]

    def speed(measured: Measured) -> float:
        return measured.num_bytes / median(measured.wall) if row.rates else 1.0

    lines = ["", f"## {row.name}", "", f"Goal: {row.goal}.", ""]
    lines += [
        f"| | {row.unit} | ours is | by processor time | peak memory | runs |",
        "|---|---|---|---|---|---|",
    ]
    for library, measured in contestants.items():
        seconds, cpu = median(measured.wall), median(measured.cpu)
        if row.rates:
            shown = f"{speed(measured) / 1e6:.1f}"
            ratio = speed(ours) / speed(measured)
        else:
            shown = f"{seconds * 1e6:.1f}" if row.unit == "us" else f"{seconds:.2f}"
            ratio = seconds / median(ours.wall)
        # The texts of two libraries may differ in length.
        busy = cpu / measured.num_bytes / (median(ours.cpu) / ours.num_bytes)
        versus = "" if library == "ours" else f"{ratio:.2f}x as fast"
        by_cpu = "" if library == "ours" else f"{busy:.2f}x"
        memory = f"{median(measured.memory) / 1e6:,.0f} MB"
        name = f"{library} {_version(library)}".replace("_", ", ties as ")
        runs = len(measured.wall)
        lines.append(f"| {name} | {shown} | {versus} | {by_cpu} | {memory} | {runs} |")
    results = {library: measured.results for library, measured in contestants.items()}
    lines += ["", f"Results: {_agreement(row, results)}."]
    return lines


def _agreement(row: Row, results: dict[str, set[str]]) -> str:
    """Say which libraries came to the result of ours, where results can be compared."""
    shown = [f"{library} {', '.join(sorted(found))}" for library, found in results.items()]
    what = {
        "train": "hash of the merges",
        "decode": "hash of the text",
        "encode": "tokens (ours are of the separators too; tiktoken's and tokenizers' of a part)",
    }.get(row.work, "tokens")
    return f"{what}: {'; '.join(shown)}"


def _scaling(corpus: Path, folder: Path, repeats: int) -> list[str]:
    """Compare time per byte of the first 50 MB and of the whole corpus."""
    lines = ["", "## scaling", "", "Goal: time per byte grows by no more than 20%.", ""]
    lines += ["| ours, 2 threads | ns/byte, 50 MB | ns/byte, all | growth |", "|---|---|---|---|"]
    for name, work in (("count the pretokens", "count"), ("encode to a .npy file", "encode")):
        costs = []
        for path in (folder / "small.txt", corpus):
            arguments = ("--threads", "2", "--out")
            runs = [_run(work, "ours", path, arguments, folder) for _ in range(repeats)]
            costs.append(median(run["wall"] for run in runs) * 1e9 / path.stat().st_size)
        growth = costs[1] / costs[0] - 1
        lines.append(f"| {name} | {costs[0]:.2f} | {costs[1]:.2f} | {growth:+.0%} |")
    return lines


def _header(corpus: Path, repeats: int) -> list[str]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    names = [line for line in _processor_lines() if line]
    return [
        "# Tokenizers compared",
        "",
        f"{datetime.date.today():%Y-%m-%d}, {names[0] if names else platform.machine()}, "
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}. Corpus: {corpus.stat().st_size:,} bytes"
        f"{' of code and documentation' if corpus.name == 'corpus.txt' else ''}. "
        f"GPT-2's pattern; medians of {repeats} runs where no other number stands, the libraries "
        f"in turn, each run in a fresh process. Load of the machine at the start: {load:.1f}. "
        f"Compiled by numba {version('numba')}, llvmlite {version('llvmlite')}.",
    ]


def _processor_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    return [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]


def _version(library: str) -> str:
    return version("bpe" if library.startswith("ours") else library).partition("+")[0]


if __name__ == "__main__":
    main()
