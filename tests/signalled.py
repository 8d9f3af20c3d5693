"""Send real signals to real runs, at a chosen moment of each. See `warm_process`."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warm_process import fork, wait

from nn import TransformerLM
from trainer import checkpoints, evaluation, loop, retention, samples, session
from trainer.cli import train_command
from trainer.run_directory import RunDirectory

# What is called in a phase of a run, the calls at which the signal comes, and what is seen of them.
PHASES: dict[str, list[tuple[Any, str, int]]] = {
    "start-up": [(session, "open_prepared", 1), (session, "describe_model", 1), (loop, "build", 1)],
    "step": [(loop, "set_learning_rates", n) for n in (1, 2, 5)],
    # The second part of three of a step, the third part, and the second part of a later one.
    "accumulation": [(TransformerLM, "loss", n) for n in (2, 3, 11)],
    "evaluation": [(evaluation, "gather_windows", n) for n in (1, 2, 4)],
    "save": [(checkpoints, "write_tensors", n) for n in (1, 2, 3)],
    "sampling": [(samples, "stream", n) for n in (1, 2, 3)],
}


def signal_everywhere(
    root: str, flags: list[str], part: int, parts: int, rounds: int = 1
) -> list[str]:
    """Signal a run in every phase by every signal; return what went wrong.

    Each run is then gone on with, and must log what the run `whole` below `root` has logged.
    """
    wrong: list[str] = []
    cases = [
        (number, phase, moment)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        for phase in PHASES
        for moment in range(3)
    ] * rounds
    os.chdir(root)
    for number, phase, moment in cases[part::parts]:
        name = f"{number.name} {phase} {moment}"
        run = Path(f"{number.name}-{phase}-{moment}")
        reading, writing = os.pipe()
        owner, function, call = PHASES[phase][moment]
        errors = os.open(f"{run}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

        def work(
            owner: Any = owner,
            function: str = function,
            call: int = call,
            writing: int = writing,
            errors: int = errors,
            run: Path = run,
        ) -> int:
            os.dup2(errors, 2)
            _tell_at(owner, function, call, writing)
            return train_command([*flags, f"--run-dir={run}"])

        child = fork(work)
        os.close(writing)
        os.close(errors)
        told = os.read(reading, 1)
        sent = time.monotonic()
        os.kill(child, number)
        status = wait(child)
        took = time.monotonic() - sent
        os.close(reading)
        said = Path(f"{run}.txt").read_text()
        if not told or status != 128 + number or took > 10:
            wrong.append(f"{name}: {told!r}, status {status} after {took:.1f} s, {said}")
        lines = said.splitlines()
        if len(lines) != 1 or not lines[0].startswith(f"train: {number.name}: "):
            wrong.append(f"{name}: {said}")
        wrong += [f"{name}: {what}" for what in _look(run, lines)]
        if moment == 0 and fork_and_wait(flags, run) != 0:
            wrong.append(f"{name}: cannot be gone on with")
        elif moment == 0 and logged(run) != logged(Path("whole")):
            wrong.append(f"{name}: goes on otherwise")
        shutil.rmtree(run, ignore_errors=True)
    return wrong


def fork_and_wait(flags: list[str], run: Path) -> int:
    """Run the command to its end; return its status."""
    return wait(fork(lambda: train_command([*flags, f"--run-dir={run}"])))


def train_whole(root: str, flags: list[str]) -> int:
    """Make the run that the others are compared with, in this process, which warms it up."""
    os.chdir(root)
    return train_command([*flags, "--run-dir=whole"])


def logged(run: Path) -> list[Any]:
    """Return what a run logged, without what a clock decides, and its samples."""
    clock = ("seconds", "tokens_per_second")
    rows = RunDirectory(run).read_metrics()
    return [
        *({k: v for k, v in row.items() if k not in clock} for row in rows),
        (run / "samples.md").read_text(),
    ]


def _look(run: Path, lines: list[str]) -> list[str]:
    """Compare what a run said with what it left."""
    wrong = []
    if "saved step" in "".join(lines):
        step = int(lines[0].split("saved step ")[1].split()[0])
        found, damaged = retention.find_last_good(run / "checkpoints")
        if damaged or found is None or found.step != step:
            wrong.append(f"said {lines}, found {found}, {damaged}")
    left = [path.name for path in run.glob("checkpoints/.*")]
    if left or (run / "run.lock").exists():
        wrong.append(f"left {left}")
    if (run / "run.json").exists():
        ended = json.loads((run / "run.json").read_text())["exit"]
        if ended != "interrupted":
            wrong.append(f"run.json says {ended}")
    return wrong


def _tell_at(owner: Any, function: str, call: int, pipe: int) -> None:
    """Let a function tell the pipe when its call of that number begins, and wait a little."""
    original: Callable[..., Any] = getattr(owner, function)
    calls = 0

    def tell(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.write(pipe, b".")
            time.sleep(0.03)
        return original(*arguments, **options)

    setattr(owner, function, tell)
