"""Trackers, each the real library without a network."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import trainer.trackers.tracking
from trainer.cli import train_command
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.run_directory import RunDirectory
from trainer.trackers import Tracking
from trainer.trackers.rows import identifier, numbers


@dataclass(frozen=True)
class Tracked:
    """What the trackers hold of a run of 8 steps in two parts, and what was said of broken ones."""

    found: dict[str, Any]
    rows: list[dict[str, Any]]
    said: str


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    directory = tmp_path_factory.mktemp("tracked")
    tests = Path(__file__).parents[1]
    process = subprocess.run(
        [sys.executable, str(tests / "tracked_run.py")],
        cwd=directory,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HOME": str(directory)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return Tracked(
        found=json.loads(process.stdout.strip().splitlines()[-1]),
        rows=list(RunDirectory(directory / "runs/tracked").read_metrics()),
        said=process.stdout.partition("BROKEN")[2],
    )


def test_tensorboard_has_every_number_under_its_step(tracked: Tracked) -> None:
    for key in ("train_loss", "val_loss", "learning_rate", "tokens_per_second"):
        expected = [(row["step"], row[key]) for row in tracked.rows[:8] if key in row]
        found = tracked.found["tensorboard"][key]
        assert [step for step, _ in found] == [step for step, _ in expected]
        values = [value for _, value in expected]
        assert [value for _, value in found] == pytest.approx(values, rel=1e-6)


def test_trackio_has_every_row_in_one_run(tracked: Tracked) -> None:
    rows = tracked.found["trackio"]["rows"]
    assert [(step, values) for _, step, values in rows] == [
        (row["step"], numbers(row)) for row in tracked.rows[:8]
    ]
    (name,) = {name for name, _, _ in rows}
    assert name.startswith("tracked-")


def test_wandb_has_every_row_in_one_run(tracked: Tracked) -> None:
    found = tracked.found["wandb"]
    own = [{key: v for key, v in row.items() if key[0] != "_"} for row in found["rows"]]
    assert own == [numbers(row) for row in tracked.rows[:8]]
    assert [row["_step"] for row in found["rows"]] == [row["step"] for row in tracked.rows[:8]]
    assert len(set(found["runs"])) == 1


def test_wandb_is_told_the_objective(tracked: Tracked) -> None:
    assert set(tracked.found["wandb"]["objectives"]) == {"to be seen"}


def test_trackers_that_cannot_start_cost_a_line_each_and_nothing_else(tracked: Tracked) -> None:
    lines = [line.split() for line in tracked.said.splitlines() if "is off from here" in line]
    assert [line[0] for line in lines] == ["wandb", "tensorboard", "trackio"]
    assert [row["step"] for row in tracked.rows] == list(range(1, 12))


@pytest.mark.long
def test_wandb_without_a_login_asks_nobody_on_a_terminal(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from trainer.config import TrainConfig;"
        "from trainer.run_directory import RunDirectory;"
        "from trainer.trackers.to_wandb import WandbTracker\n"
        "try: WandbTracker(TrainConfig(), RunDirectory(Path()))\n"
        "except Exception as error: print(error)"
    )
    terminal, side = os.openpty()
    unset = ("WANDB_MODE", "WANDB_API_KEY", "NETRC")
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k not in unset} | {"HOME": str(tmp_path)},
        stdin=side,
        stdout=subprocess.PIPE,
        stderr=side,
        text=True,
        timeout=60,
    )
    os.close(side)
    os.close(terminal)
    assert "No API key configured" in process.stdout


class Breaking:
    """A tracker that loses its connection at step 3."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def log(self, row: Mapping[str, Any]) -> None:
        self.asked.append(row["step"])
        if row["step"] == 3:
            raise ConnectionError("gone\naway")

    def close(self, *, failed: bool) -> None:
        raise TimeoutError("still gone")


def test_tracker_that_fails_midway_is_told_of_once_and_asked_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker, shown = Breaking(), io.StringIO()
    monkeypatch.setattr(trainer.trackers.tracking, "open_tracker", lambda *_: tracker)
    display = Display(Console(file=shown))
    config = TrainConfig(track=("wandb",))
    with Tracking(config, RunDirectory(tmp_path), display, first_step=2) as tracking:
        for step in (2, 3, 5, 7):
            tracking.log({"step": step})
    assert tracker.asked == [2, 3]
    expected = "wandb is off from here: ConnectionError: gone away; metrics.jsonl goes on"
    assert shown.getvalue().strip() == expected


def test_tracker_that_fails_at_the_end_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(trainer.trackers.tracking, "open_tracker", lambda *_: Breaking())
    config = TrainConfig(track=("trackio",))
    with Tracking(config, RunDirectory(tmp_path), Display(Console(file=shown)), first_step=1):
        pass
    assert "trackio is off from here: TimeoutError: still gone" in shown.getvalue()


def test_numbers_of_a_row_are_finite_and_without_the_step() -> None:
    row = {"step": 3, "loss": float("nan"), "rate": 0.1, "name": "x", "mfu": None, "tokens": 7}
    assert numbers(row) == {"rate": 0.1, "tokens": 7}


def test_run_keeps_its_identifier(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (identifier(RunDirectory(tmp_path / name)) for name in ("a", "b"))
    assert identifier(RunDirectory(tmp_path / "a")) == first != second


def test_tracker_that_is_not_installed_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    # Without the check it would be the text that is missing, not a training that begins.
    assert train_command(["--track", "wandb", "--data.corpus", "nowhere.txt"]) == 2
    expected = "train: --track wandb needs a package: uv pip install wandb\n"
    assert capsys.readouterr().err == expected
    assert not list(tmp_path.iterdir())
