"""A run that was cut computes what the whole run computes, bit by bit, wherever it was cut."""

import dataclasses
import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer import checkpoints
from trainer.checkpoints import CorruptCheckpointError
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.loop import train
from trainer.prepared import PreparedData
from trainer.run_directory import RunDirectory
from trainer.signals import StopRequested, StopSignals

STEPS, WARMUP, EVALUATION = 200, 13, 29
# Counted on: what is compared at each place, and from where on the rest follows by itself.
FURTHER = 2


class StopAt(StopSignals):
    """Behave as if a signal came once a step is logged."""

    def __init__(self, run: RunDirectory, step: int) -> None:
        super().__init__()
        self._run, self._step = run, step

    def check(self) -> None:
        if self._run.last_metrics().get("step", 0) >= self._step:
            raise StopRequested(signal.SIGTERM, "")


class Cutter:
    """The whole run, and runs that go on from one of its checkpoints."""

    def __init__(
        self,
        root: Path,
        config: TrainConfig,
        data: PreparedData,
        quiet: Display,
        steps: int = STEPS,
    ) -> None:
        self.root, self.data, self.quiet, self.steps = root, data, quiet, steps
        self.config = dataclasses.replace(
            config,
            max_steps=steps,
            optimizer=dataclasses.replace(config.optimizer, name="muon"),
            schedule=dataclasses.replace(config.schedule, warmup_steps=WARMUP),
            eval=dataclasses.replace(config.eval, every=EVALUATION),
            checkpoint=dataclasses.replace(config.checkpoint, every=1, keep=2 * steps),
            sample=dataclasses.replace(config.sample, every=0),
        )
        self.whole = self.make("whole")

    def make(self, name: str) -> RunDirectory:
        """Train from the start to the end."""
        run = RunDirectory(self.root / name)
        run.path.mkdir()
        self.train(run, self.steps + 1)
        return run

    def train(self, run: RunDirectory, until: int) -> None:
        """Go on from the last checkpoint until a step is logged."""
        # Left to chance, as in a new process.
        torch.manual_seed(random.randrange(1 << 30))
        found = checkpoints.steps(run.checkpoints)
        start = checkpoints.verify(found[-1]) if found else None
        device, stop = torch.device("cpu"), StopAt(run, until)
        arguments = (self.config, run, self.data, device, self.quiet)
        try:
            train(*arguments, identity={}, resume_from=start, stop=stop)
        except StopRequested:
            return

    def cut(self, step: int) -> RunDirectory:
        """Return a directory with what a kill after `step` would have left of the whole run."""
        run = RunDirectory(self.root / "cut")
        shutil.rmtree(run.path, ignore_errors=True)
        run.checkpoints.mkdir(parents=True)
        name = f"step-{step:09d}"
        shutil.copytree(self.whole.checkpoints / name, run.checkpoints / name)
        shutil.copy(self.whole.metrics, run.metrics)
        return run

    def goes_on_alike(self, run: RunDirectory, step: int) -> bool:
        """Take some steps; say whether all that is saved and logged is what it was."""
        run.cut_back(step)
        last = min(step + FURTHER, self.steps)
        self.train(run, last)
        logs = [timeless(r)[:last] for r in (run, self.whole)]
        return logs[0] == logs[1] and all(
            saved(run, s) == saved(self.whole, s) for s in range(step + 1, last + 1)
        )


@pytest.fixture(scope="module")
def cutter(tmp_path_factory: pytest.TempPathFactory, byte_data: PreparedData) -> Cutter:
    import io

    from rich.console import Console
    from small_run import small_config

    torch.set_num_threads(1)
    quiet = Display(Console(file=io.StringIO()))
    return Cutter(tmp_path_factory.mktemp("cutter"), small_config(), byte_data, quiet)


def timeless(run: RunDirectory) -> list[dict[str, Any]]:
    clock = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if k not in clock} for row in run.read_metrics()]


def saved(run: RunDirectory, step: int) -> Any:
    """Return all that a checkpoint holds, but for the clock, so that it can be compared."""
    directory = run.checkpoints / f"step-{step:09d}"
    state = torch.load(directory / checkpoints.OPTIMIZER, weights_only=True)
    del state["counters"]["seconds"]
    for optimizer in state["optimizers"]:
        for group in optimizer["param_groups"]:
            # Torch adds this default, which is of its own optimizers, to what it loads.
            group.pop("differentiable", None)
    return comparable([load_file(directory / checkpoints.MODEL), state])


def comparable(state: Any) -> Any:
    if isinstance(state, Tensor):
        return str(state.dtype), tuple(state.shape), state.numpy().tobytes()
    if isinstance(state, dict):
        return {key: comparable(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [comparable(value) for value in state]
    return state


PLACES = sorted({WARMUP, EVALUATION, STEPS} | set(random.Random(11).sample(range(1, STEPS), 20)))


@pytest.mark.parametrize("step", PLACES)
def test_run_goes_on_bit_by_bit_wherever_it_was_cut(cutter: Cutter, step: int) -> None:
    assert cutter.goes_on_alike(cutter.cut(step), step)


def check_pieces(cutter: Cutter, pieces: int) -> None:
    """Cut a run many times in a row, and compare its end with that of the whole one."""
    run = RunDirectory(cutter.root / "pieces")
    run.path.mkdir()
    for piece in range(pieces):
        cutter.train(run, (piece + 1) * cutter.steps // pieces)
    cutter.train(run, cutter.steps + 1)
    assert timeless(run) == timeless(cutter.whole)
    assert saved(run, cutter.steps) == saved(cutter.whole, cutter.steps)


def test_run_that_is_cut_25_times_in_a_row_ends_as_the_whole_one(cutter: Cutter) -> None:
    check_pieces(cutter, 25)


@pytest.mark.long
def test_longer_run_goes_on_bit_by_bit_too(
    tmp_path: Path, small_config: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    cutter = Cutter(tmp_path, small_config, byte_data, quiet, steps=500)
    check_pieces(cutter, 50)
    for step in random.Random(13).sample(range(1, 500), 50):
        assert cutter.goes_on_alike(cutter.cut(step), step)


def leaves(state: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in nested mappings and lists."""
    items = state.items() if isinstance(state, dict) else enumerate(state)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))


def rewrite(run: RunDirectory, step: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a checkpoint holds, and its manifest with it."""
    directory = run.checkpoints / f"step-{step:09d}"
    model, optimizer = directory / checkpoints.MODEL, directory / checkpoints.OPTIMIZER
    content = {"weights": load_file(model)}
    content |= torch.load(optimizer, weights_only=True)
    change(content)
    save_file(content.pop("weights", {}), model)
    torch.save(content, optimizer)
    manifest = json.loads((directory / checkpoints.MANIFEST).read_text())
    for path in (model, optimizer):
        manifest["files"][path.name] = checkpoints._describe(path)
    (directory / checkpoints.MANIFEST).write_text(json.dumps(manifest))


def test_no_part_of_a_checkpoint_can_be_left_out(cutter: Cutter) -> None:
    run = cutter.cut(31)
    found: list[Any] = []
    rewrite(run, 31, lambda content: found.extend(leaves(content)))
    assert len(found) > 100
    refused = []
    for path in found:
        run = cutter.cut(31)

        def leave_out(content: dict[str, Any], path: tuple[Any, ...] = path) -> None:
            place: Any = content
            for key in path[:-1]:
                place = place[key]
            del place[path[-1]]

        rewrite(run, 31, leave_out)
        try:
            cutter.train(run, 32)
        except CorruptCheckpointError:
            refused.append(path)
    assert refused == found


FORGOTTEN = [
    *("weights", "optimizers.0.momentum_buffer", "optimizers.1.exp_avg"),
    *("optimizers.1.exp_avg_sq", "optimizers.1.step", "counters.tokens", "counters.skipped"),
    "generators.cpu",
]


@pytest.mark.parametrize("component", FORGOTTEN)
def test_comparison_sees_every_component_that_is_not_restored(
    cutter: Cutter, component: str
) -> None:
    def forget(content: dict[str, Any]) -> None:
        first, _, rest = component.partition(".")
        if component == "weights":
            content["weights"]["ln_final.weight"] *= 2
        elif first == "counters":
            content["counters"][rest] += 7
        elif first == "generators":
            content["generators"]["cpu"] = torch.Generator().manual_seed(3).get_state()
        else:
            number, _, key = rest.partition(".")
            entry = next(iter(content["optimizers"][int(number)]["state"].values()))
            entry[key] = entry[key] * 2

    run = cutter.cut(31)
    rewrite(run, 31, forget)
    assert not cutter.goes_on_alike(run, 31)
