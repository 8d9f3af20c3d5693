"""Going on with a run: after its end, after a kill, and from the beginning."""

import shutil
import time
from pathlib import Path

import pytest
from trainer_jobs import SMALL_JOB, losses, record, start

from trainer import checkpoints
from trainer.cli import train_command
from trainer.run_directory import RunDirectory


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROUNDUP_TRACEBACK", raising=False)


def test_finished_run_says_so(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished_run / "metrics.jsonl").stat().st_mtime_ns
    assert train_command(["--run-dir", str(finished_run)]) == 0
    assert f"{finished_run} is finished: 6 of 6 steps" in capsys.readouterr().out
    assert (finished_run / "metrics.jsonl").stat().st_mtime_ns == before


def test_longer_run_goes_on_where_it_was(finished: Path, finished_run: Path) -> None:
    assert train_command(["--run-dir", str(finished_run), "--max-steps", "8"]) == 0
    assert [step for step, _, _ in losses(finished_run)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert losses(finished_run)[:6] == losses(finished / "runs/tiny-001")
    assert record(finished_run)["resumed_from_step"] == 6
    assert record(finished_run)["earlier"]["exit"] == "finished"


@pytest.mark.long
def test_killed_run_goes_on_bit_by_bit(finished: Path) -> None:
    shutil.copytree(finished / "data", "data")
    flags = [*SMALL_JOB, "--max-steps=150"]
    process = start(*flags, "--run-dir=run")
    while len(list(RunDirectory(Path("run")).read_metrics())) < 13:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert record(Path("run"))["exit"] == "running"
    reached = int(checkpoints.steps(Path("run/checkpoints"))[-1].name.removeprefix("step-"))
    assert train_command(["--run-dir", "run"]) == 0
    assert record(Path("run"))["resumed_from_step"] == reached
    assert train_command([*flags, "--run-dir=whole"]) == 0
    assert losses(Path("run")) == losses(Path("whole"))


def test_run_that_is_begun_again_is_kept_aside(finished: Path, finished_run: Path) -> None:
    assert train_command(["--run-dir", str(finished_run), "--resume", "never", "--seed", "3"]) == 0
    assert losses(Path(f"{finished_run}-old-001")) == losses(finished / "runs/tiny-001")
    assert losses(finished_run) != losses(finished / "runs/tiny-001")


def test_run_in_a_directory_that_waits_for_it_is_begun(finished: Path) -> None:
    shutil.copytree(finished / "data", "data")
    Path("empty").mkdir()
    assert train_command([*SMALL_JOB, "--run-dir", "empty"]) == 0
    assert losses(Path("empty")) == losses(finished / "runs/tiny-001")
