"""Kill real processes while they train and save, and look at what is left. See `warm_process`."""

import dataclasses
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from small_run import byte_data, small_config
from torch.nn import Module, Parameter
from torch.optim import Optimizer
from warm_process import fork, wait

from optim import AdamW
from trainer import checkpoints, loop, retention
from trainer.checkpoints import Counters
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.prepared import PreparedData
from trainer.run_directory import RunDirectory
from trainer.saver import Saver

Find = Callable[[Path], int | None]


def kill_while_training(root: str, kills: int, seed: int, in_place: bool = False) -> dict[str, Any]:
    """Train with a save at every step, kill, go on, and so forth.

    Returns how often the last save that was reported could not be gone on from, how many saves
    were cut off, the steps reached, and whether the weights are those of a run without a kill.
    """
    data, config = _endless(Path(root) / "data")
    run = RunDirectory(Path(root) / "run")
    run.path.mkdir()
    draw = random.Random(seed)
    lost = cut_off = reached = 0
    for number in range(kills):
        reading, writing = os.pipe()
        child = fork(partial(_train_and_tell, config, run, data, writing, in_place))
        os.close(writing)
        # Every fourth kill may fall into the start; the others wait for the first save.
        os.read(reading, 1)
        lines = b""
        if number % 4:
            lines = os.read(reading, 100)
        time.sleep(draw.uniform(0.0, 0.06 if number % 4 else 0.2))
        os.kill(child, signal.SIGKILL)
        wait(child)
        with os.fdopen(reading, "rb") as told:
            lines += told.read()
        reached = max([reached, *map(int, lines.split())])
        cut_off += retention.tidy(run.checkpoints)
        found = (_find_in_place if in_place else _find)(run.checkpoints)
        if (found is None and reached) or (found is not None and found < reached):
            lost += 1
            if in_place:
                break
        reached = found or 0
    same = not in_place and _weights(run) == _weights_without_a_kill(root, config, data, reached)
    return {"lost": lost, "cut_off": cut_off, "reached": reached, "same": same}


def _endless(directory: Path) -> tuple[PreparedData, TrainConfig]:
    directory.mkdir()
    config = small_config()
    config = dataclasses.replace(
        config,
        max_steps=1_000_000,
        schedule=dataclasses.replace(config.schedule, name="constant"),
        checkpoint=dataclasses.replace(config.checkpoint, every=1, keep=2),
        eval=dataclasses.replace(config.eval, every=29),
        sample=dataclasses.replace(config.sample, every=0),
    )
    _warm_up(directory)
    return byte_data(directory), config


def _warm_up(directory: Path) -> None:
    """Train once: much is done at the first time only."""
    run = RunDirectory(directory / "warm-up")
    run.path.mkdir()
    device = torch.device("cpu")
    loop.train(small_config(), run, byte_data(directory), device, Display(), identity={})


def _train_and_tell(
    config: TrainConfig, run: RunDirectory, data: PreparedData, pipe: int, in_place: bool
) -> None:
    save = Saver.save

    def tell(saver: Saver, counters: Counters, val_loss: float | None = None) -> None:
        save(saver, counters, val_loss)
        os.write(pipe, f"{counters.step}\n".encode())

    Saver.save = tell  # type: ignore[method-assign,assignment]
    start = retention.find_last_good(run.checkpoints)[0]
    if in_place:
        checkpoints.save = _save_in_place  # type: ignore[assignment]
        start = None
    os.write(pipe, b"\n")
    device = torch.device("cpu")
    loop.train(config, run, data, device, Display(), identity={}, resume_from=start)


def _save_in_place(
    root: Path, model: Module, optimizers: list[Optimizer], *, counters: Counters, **_: object
) -> None:
    """Save as one would without a second thought."""
    states = [optimizer.state_dict() for optimizer in optimizers]
    state = {"model": model.state_dict(), "optimizers": states, "step": counters.step}
    torch.save(state, root / "latest.pt")


def _find(root: Path) -> int | None:
    found, damaged = retention.find_last_good(root)
    return None if found is None or damaged else found.step


def _find_in_place(root: Path) -> int | None:
    if not (root / "latest.pt").exists():
        return 0
    try:
        return int(torch.load(root / "latest.pt", weights_only=True)["step"])
    except Exception:
        return None


def _weights(run: RunDirectory) -> bytes:
    return (checkpoints.steps(run.checkpoints)[-1] / checkpoints.MODEL).read_bytes()


def _weights_without_a_kill(
    root: str, config: TrainConfig, data: PreparedData, steps: int
) -> bytes:
    run = RunDirectory(Path(root) / "whole")
    run.path.mkdir()
    rarely = dataclasses.replace(config.checkpoint, every=steps)
    config = dataclasses.replace(config, max_steps=steps, checkpoint=rarely)
    loop.train(config, run, data, torch.device("cpu"), Display(), identity={})
    return _weights(run)


class Plain(Module):
    """A model of one matrix."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.weight = Parameter(torch.arange(float(rows * 7)).reshape(rows, 7))


def module_and_optimizer(rows: int) -> tuple[Plain, Optimizer]:
    """Return a model and its optimizer after a step."""
    model = Plain(rows)
    optimizer = AdamW(model.parameters(), lr=0.1)
    model.weight.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return model, optimizer


def _saver(root: Path, model: Module, optimizer: Optimizer, keep: int) -> Saver:
    return Saver(root, lambda: (model, [optimizer]), identity={}, keep=keep, warn=lambda _: None)


def crash_while_saving(root: str, offsets: int, part: int, parts: int) -> dict[str, Any]:
    """Save step 2 after step 1, keeping one, and end that at each of many places.

    A process is killed right before each call to the system, and its files are left as they are.
    As for bytes, what a kill leaves while a file is written is what was there before the file, and
    a part of it: that is laid out for evenly spaced lengths of each file, and for some of them made
    by the kernel, which kills a process whose file grows too large. Returns how many places of
    each kind there were, and those after which neither step was found, whole and alone.
    """
    model, optimizer = module_and_optimizer(rows=101)
    template, place = Path(root) / "template", Path(root) / "run"
    template.mkdir()
    _saver(template, model, optimizer, keep=1).save(Counters(1, 7, 0.5))
    calls = _count_calls(template, Path(root) / "counted", model, optimizer)
    written = Path(root) / "counted/step-000000002"
    files = [checkpoints.MODEL, checkpoints.OPTIMIZER, checkpoints.MANIFEST]
    sizes = [(written / name).stat().st_size for name in files]
    places: list[tuple[str, int, int]] = [("call", 0, n) for n in range(1, calls + 1)]
    for number, size in enumerate(sizes):
        count = max(1, round(offsets * size / sum(sizes)))
        cuts = [("byte", number, size * n // count) for n in range(count)]
        places += [*cuts, *(("kill", number, where) for _, _, where in cuts[:: len(cuts) // 10])]
    done = places[part::parts]
    bad: list[str] = []
    for kind, number, where in done:
        shutil.copytree(template, place)
        status = -1
        if kind == "byte":
            unfinished = place / f"{checkpoints.UNFINISHED}step-000000002"
            unfinished.mkdir()
            for name in files[: number + 1]:
                shutil.copy(written / name, unfinished)
            os.truncate(unfinished / files[number], where)
        else:
            make_end = partial(_die_at_call, where)
            if kind == "kill":
                make_end = partial(_limit_file_size, number, where)
            status = wait(fork(partial(_save_until, make_end, place, model, optimizer)))
        retention.tidy(place)
        left = sorted(path.name for path in place.iterdir())
        parts = sum(len(list(path.iterdir())) != 3 for path in checkpoints.steps(place))
        hidden = any(name[0] == "." for name in left)
        if status >= 0 or _find(place) not in (1, 2) or parts or hidden:
            bad.append(f"{kind} {number} {where}: status {status}, left {left}")
        shutil.rmtree(place)
    return {kind: sum(k == kind for k, _, _ in done) for kind in ("byte", "call", "kill")} | {
        "bad": bad
    }


def _save_until(
    make_end: Callable[[], Callable[[FrameType, str, Any], None]],
    place: Path,
    model: Module,
    optimizer: Optimizer,
) -> None:
    sys.setprofile(make_end())
    _saver(place, model, optimizer, keep=1).save(Counters(2, 14, 0.5))
    sys.setprofile(None)


def _is_call_to_the_system(function: Any) -> bool:
    owner = type(getattr(function, "__self__", None))
    names = (getattr(function, "__module__", None), owner.__module__)
    return any(n in ("posix", "_io", "io", "safetensors._safetensors_rust") for n in names) or (
        owner.__name__ == "PyTorchFileWriter"
    )


def _count_calls(template: Path, place: Path, model: Module, optimizer: Optimizer) -> int:
    shutil.copytree(template, place)
    calls = 0

    def count(_: FrameType, event: str, function: Any) -> None:
        nonlocal calls
        calls += event == "c_call" and _is_call_to_the_system(function)

    sys.setprofile(count)
    _saver(place, model, optimizer, keep=1).save(Counters(2, 14, 0.5))
    sys.setprofile(None)
    return calls


def _die_at_call(number: int) -> Callable[[FrameType, str, Any], None]:
    """End the process right before its call to the system of that number."""
    calls = 0

    def die(_: FrameType, event: str, function: Any) -> None:
        nonlocal calls
        if event == "c_call" and _is_call_to_the_system(function):
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)

    return die


def _limit_file_size(flushes: int, size: int) -> Callable[[FrameType, str, Any], None]:
    """Let the kernel end the process when a file grows beyond `size`, after so many flushes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def limit() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))

    done = 0
    if flushes == 0:
        limit()

    def watch(_: FrameType, event: str, function: Any) -> None:
        nonlocal done
        if event == "c_return" and getattr(function, "__name__", "") == "fsync":
            done += 1
            if done == flushes:
                limit()

    return watch


def random_lives(root: str, sequences: int, seed: int) -> list[str]:
    """Let runs save, be killed, fail to delete and start again; return what went wrong."""
    draw = random.Random(seed)
    model, optimizer = module_and_optimizer(rows=3)
    wrong: list[str] = []
    for sequence in range(sequences):
        place = Path(root) / str(sequence)
        place.mkdir()
        keep = draw.choice([1, 2, 3])
        losses: dict[int, float] = {}
        for _ in range(2):
            wrong += [
                f"sequence {sequence}: {w}"
                for w in _life(place, model, optimizer, keep, losses, draw)
            ]
        shutil.rmtree(place)
    return wrong


def _life(
    place: Path,
    model: Module,
    optimizer: Optimizer,
    keep: int,
    losses: dict[int, float],
    draw: random.Random,
) -> list[str]:
    """Live once: start, save a few times, perhaps be killed; then look at what a start finds."""
    first = max(losses, default=0) + draw.choice([0, 1, 1])
    plan = {
        first + n: draw.choice([draw.uniform(1, 2), None]) for n in range(draw.choice([1, 2, 4]))
    }
    # A step that is taken again has the loss that it had.
    known = {step: loss if loss < float("inf") else None for step, loss in losses.items()}
    plan = {step: known.get(step, loss) for step, loss in plan.items() if step}
    kill_at = draw.choice([0, draw.randrange(1, 60 * len(plan) + 2)])
    refuse = draw.random() < 0.3
    reading, writing = os.pipe()

    def work() -> None:
        if refuse:
            os.unlink = os.rmdir = _refuse  # type: ignore[assignment]
        sys.setprofile(_die_at_call(kill_at))
        saver = _saver(place, model, optimizer, keep)
        for step, loss in plan.items():
            saver.save(Counters(step, 7 * step, 0.5), loss)
            os.write(writing, f"{step}\n".encode())
        sys.setprofile(None)

    if kill_at:
        wait(fork(work))
    else:
        unlink, rmdir = os.unlink, os.rmdir
        work()
        os.unlink, os.rmdir = unlink, rmdir
    os.close(writing)
    with os.fdopen(reading) as told:
        saved = [int(line) for line in told.read().split()]
    retention.tidy(place)
    return _look(place, plan, saved, keep, losses)


def _look(
    place: Path,
    plan: dict[int, float | None],
    saved: list[int],
    keep: int,
    losses: dict[int, float],
) -> list[str]:
    wrong = []
    known = dict.fromkeys(losses) | dict.fromkeys(saved)
    there = {int(path.name.removeprefix("step-")) for path in checkpoints.steps(place)}
    found = _find(place)
    if known and (found is None or found < max(known)):
        wrong.append(f"saved {sorted(known)}, found {found}")
    if hidden := [path.name for path in place.iterdir() if not path.name.startswith("step-")]:
        wrong.append(f"left behind: {hidden}")
    for path in checkpoints.steps(place):
        checkpoints.verify(path)
    for step in there - losses.keys():
        losses[step] = float("inf")
    for step, loss in plan.items():
        if step in saved:
            losses[step] = loss or float("inf")
        elif step in there:
            losses[step] = checkpoints.verify(place / f"step-{step:09d}").val_loss or float("inf")
    evaluated = {step: loss for step, loss in losses.items() if loss < float("inf")}
    if evaluated and min(evaluated, key=lambda s: evaluated[s]) not in there:
        wrong.append(f"the best of {evaluated} is gone: {sorted(there)}")
    return wrong


def _refuse(path: str, *_: object, **__: object) -> None:
    raise OSError(16, "Device or resource busy", path)
