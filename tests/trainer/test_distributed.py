"""Several real processes train one model: the same numbers, one writer, and an end for all."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainer_jobs import SMALL_JOB, losses, record
from warm_process import WarmPair

from trainer import checkpoints
from trainer.run_directory import RunDirectory

STEPS = 30
JOB = [
    *SMALL_JOB,
    # Beside it AdamW updates embeddings, head and gains.
    "--optimizer.name=muon",
    # All gradients are clipped, by the norm over all processes.
    "--optimizer.max-grad-norm=0.1",
    "--batch-size=12",
    f"--max-steps={STEPS}",
    "--eval.every=7",
    "--sample.every=11",
    "--checkpoint.every=5",
    # What each process is to be told beside the tokens.
    "--data.isolate-documents",
]
WORLDS = {
    "one": (1, "ddp"),
    "two": (2, "ddp"),
    "four": (4, "ddp"),
    "two-sharded": (2, "fsdp"),
    "four-sharded": (4, "fsdp"),
}
# Side by side on two cores.
TURNS = [["one", "four"], ["two", "two-sharded"], ["four-sharded"]]
OTHERS = [name for name in WORLDS if name != "one"]

Ends = dict[str, dict[str, Any]]
Train = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def job(finished: Path) -> list[str]:
    """The job's flags, with tokens that exist."""
    (tokens,) = (finished / "data").iterdir()
    return [*JOB, f"--data.tokens={tokens}"]


@pytest.fixture(scope="module")
def together(
    job: list[str], tmp_path_factory: pytest.TempPathFactory, warm: WarmPair
) -> tuple[Path, Ends]:
    """A directory with the job done by one, two and four processes, and how they ended."""
    root = tmp_path_factory.mktemp("together")
    ends: Ends = {}
    for names in TURNS:
        calls = []
        for name in names:
            (root / name).mkdir()
            size, parallel = WORLDS[name]
            flags = [*job, f"--parallel={parallel}", "--run-dir", "run"]
            calls.append({"directory": str(root / name), "size": size, "arguments": flags})
        ends |= zip(names, warm.call("ranks.train_together", *calls), strict=True)
    for name, end in ends.items():
        assert end["statuses"] == [0] * WORLDS[name][0], end["said"]
    return root, ends


@pytest.fixture
def train(tmp_path: Path, job: list[str], warm: WarmPair) -> Train:
    """Run the job, or a changed one, in an empty directory."""

    def call(size: int, *flags: str, **settings: Any) -> dict[str, Any]:
        arguments = {"directory": str(tmp_path), "size": size, **settings}
        arguments["arguments"] = [*job, *flags, "--run-dir", "run"]
        (end,) = warm.call("ranks.train_together", arguments)
        found: dict[str, Any] = end
        return found

    return call


@pytest.mark.parametrize("name", OTHERS)
def test_losses_do_not_depend_on_the_number_of_processes(
    together: tuple[Path, Ends], name: str
) -> None:
    root, _ = together
    alone, others = losses(root / "one/run"), losses(root / name / "run")
    assert len(alone) == len(others) == STEPS
    for (_, loss, val_loss), (_, other, other_val) in zip(alone, others, strict=True):
        assert other == pytest.approx(loss, rel=1e-5)
        assert other_val == (None if val_loss is None else pytest.approx(val_loss, rel=1e-5))


@pytest.mark.parametrize("name", OTHERS)
def test_norm_of_gradients_is_that_of_all_processes(together: tuple[Path, Ends], name: str) -> None:
    root, _ = together
    norms = [
        [row["grad_norm"] for row in RunDirectory(root / n / "run").read_metrics()]
        for n in ("one", name)
    ]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_first_process_alone_speaks(together: tuple[Path, Ends], name: str) -> None:
    _, ends = together
    first, *others = ends[name]["said"]
    assert "validation loss" in first["out"]
    assert [said["out"] + said["err"] for said in others] == [""] * len(others)


@pytest.mark.parametrize("name", OTHERS)
def test_run_directory_holds_what_that_of_one_process_does(
    together: tuple[Path, Ends], name: str
) -> None:
    root, _ = together
    alone, found = (
        {path.relative_to(root / n) for path in (root / n / "run").rglob("*")}
        for n in ("one", name)
    )
    assert found == alone


def test_record_says_how_many_processes_there_were(together: tuple[Path, Ends]) -> None:
    root, _ = together
    for name, (size, _) in WORLDS.items():
        assert record(root / name / "run")["processes"] == size


def test_run_goes_on_under_another_number_of_processes(
    together: tuple[Path, Ends], train: Train, tmp_path: Path
) -> None:
    root, _ = together
    for size, parallel, steps in ((1, "ddp", 5), (2, "fsdp", 10), (4, "ddp", 15), (1, "fsdp", 30)):
        # The rate's schedule is that of all steps: the run is cut off, not short.
        end = train(size, f"--parallel={parallel}", **_cut_after(steps))
        assert set(end["statuses"]) <= {0, 143}, end["said"]
    for (_, loss, _), (_, other, _) in zip(
        losses(root / "one/run"), losses(tmp_path / "run"), strict=True
    ):
        assert other == pytest.approx(loss, rel=1e-5)


def _cut_after(steps: int) -> dict[str, Any]:
    if steps == STEPS:
        return {}
    return {"hit": {"rank": 0, "number": signal.SIGTERM, "rows": steps}}


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_signal_to_any_process_saves_once_and_ends_all(
    train: Train, tmp_path: Path, parallel: str
) -> None:
    hit = {"rank": 1, "number": signal.SIGTERM, "rows": 3}
    end = train(2, f"--parallel={parallel}", hit=hit)
    assert end["statuses"] == [143, 143], end["said"]
    last = checkpoints.verify(checkpoints.steps(tmp_path / "run/checkpoints")[-1])
    assert f"SIGTERM: saved step {last.step}" in end["said"][0]["err"]
    assert end["said"][1] == {"out": "", "err": ""}


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("rank", [0, 1])
def test_process_that_dies_ends_the_others_with_a_message(
    train: Train, parallel: str, rank: int
) -> None:
    hit = {"rank": rank, "number": signal.SIGKILL, "rows": 3}
    end = train(2, f"--parallel={parallel}", hit=hit)
    statuses = [5, 5]
    statuses[rank] = -signal.SIGKILL
    assert end["statuses"] == statuses, end["said"]
    assert end["seconds"] < 30
    assert f"rank {rank} " in end["said"][1 - rank]["err"]
    assert "is gone" in end["said"][1 - rank]["err"]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_bad_number_stops_all_at_the_same_step(train: Train, tmp_path: Path, parallel: str) -> None:
    end = train(2, f"--parallel={parallel}", "--optimizer.lr=1e30", "--schedule.warmup-steps=0")
    assert end["statuses"] == [1, 1], end["said"]
    first, other = (said["err"] for said in end["said"])
    assert "first bad tensor" in first
    assert "last good step" in first
    assert other == ""
    checkpoints.verify(checkpoints.steps(tmp_path / "run/checkpoints")[-1])


def test_batch_that_cannot_be_shared_is_one_line(train: Train) -> None:
    end = train(2, "--batch-size=13")
    assert end["statuses"] == [2, 2]
    errors = [said["err"] for said in end["said"]]
    assert errors[1] == ""
    assert errors[0].splitlines() == [
        "train: batch_size=13 is not divisible by 2 processes: "
        "give a --batch-size that is a multiple of 2"
    ]


def test_bad_flag_is_one_line_for_all(train: Train) -> None:
    end = train(2, "--optimizer.rl=1")
    assert end["statuses"] == [2, 2]
    errors = [said["err"] for said in end["said"]]
    assert len(errors[0].splitlines()) == 1
    assert errors[1] == ""


def test_restarts_without_a_run_directory_are_refused(
    warm: WarmPair, job: list[str], tmp_path: Path
) -> None:
    environment = {"TORCHELASTIC_MAX_RESTARTS": "3"}
    arguments = {"directory": str(tmp_path), "size": 2, "arguments": job}
    (end,) = warm.call("ranks.train_together", arguments | {"environment": environment})
    assert end["statuses"] == [2, 2]
    assert "needs --run-dir" in end["said"][0]["err"]


@pytest.mark.long
def test_torchrun_starts_again_from_the_last_checkpoint(
    job: list[str], together: tuple[Path, Ends], tmp_path: Path
) -> None:
    root, _ = together
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--standalone", "--max-restarts=1", "--monitor-interval=0.1"]
    command += ["-m", "trainer", "train", *job, "--run-dir=run"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    metrics, lock = tmp_path / "run/metrics.jsonl", tmp_path / "run/run.lock"
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 6:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(json.loads(lock.read_bytes())["pid"], signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "rank 0 (process" in output
    assert "is gone" in output
    assert record(tmp_path / "run")["resumed_from_step"] >= 5
    for (_, loss, _), (_, other, _) in zip(
        losses(root / "two/run"), losses(tmp_path / "run"), strict=True
    ):
        assert other == loss


def test_one_process_does_not_load_what_it_does_not_need() -> None:
    code = (
        "import sys, trainer.session, trainer.cli; "
        "print({'trainer.distributed', 'trainer.sharded', 'torch.distributed.fsdp'} "
        "& sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
