"""The packages import and work where the modules and names of POSIX are missing.

This shows that nothing of ours stands in the way of Windows, not that it runs there.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from workspace.project import PACKAGES, sources

pytestmark = pytest.mark.long

PROGRAM = """
import json, sys
from pathlib import Path
import without_posix

without_posix.hide_posix()
said = {"modules": without_posix.import_ours()}

import bpe.cli, sampling.cli, trainer.cli
from trainer import run_lock
from trainer_jobs import SMALL_JOB

def bpe_command(*arguments):
    sys.argv = ["bpe", *arguments]
    return bpe.cli.main()

said["train"] = trainer.cli.train_command([*SMALL_JOB, "--max-steps=3", "--run-dir=run"])
said["left"] = sorted(path.name for path in Path("run").iterdir())
said["go on"] = trainer.cli.train_command(["--max-steps=4", "--run-dir=run"])
with run_lock.hold(Path("run")):
    said["second"] = trainer.cli.train_command(["--max-steps=5", "--run-dir=run"])
said["verify"] = trainer.cli.main(["verify", "run"])
said["generate"] = sampling.cli.main(["run", "--prompt", "Once", "--max-tokens", "3"])
Path("t.txt").write_text("the cat sat on the mat " * 500)
said["bpe train"] = bpe_command("train", "t.txt", "--vocab-size", "277", "--out", "tok")
said["bpe encode"] = bpe_command("encode", "tok", "t.txt", "--out", "t.npy")
said["bpe decode"] = bpe_command("decode", "tok", "t.npy", "--out", "back.txt")
said["bpe report"] = bpe_command("report", "tok", "t.txt")
said["same text"] = Path("back.txt").read_text() == Path("t.txt").read_text()
Path("said.json").write_text(json.dumps(said))
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What a process without POSIX found, and its standard error."""
    directory = tmp_path_factory.mktemp("job")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=directory,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads((directory / "said.json").read_text()), ended.stderr


def test_all_modules_are_imported(process: tuple[dict[str, Any], str]) -> None:
    files = [path for package in PACKAGES for path in sources(package)]
    # All but the packages themselves and what `python -m trainer` runs.
    assert process[0]["modules"] == len(files) - len(PACKAGES) - 1


def test_run_trains_and_goes_on_and_writes(process: tuple[dict[str, Any], str]) -> None:
    said, _ = process
    assert [said[name] for name in ("train", "go on", "verify", "generate")] == [0, 0, 0, 0]
    assert "run.lock" not in said["left"]


def test_second_run_is_refused_by_name(process: tuple[dict[str, Any], str]) -> None:
    said, errors = process
    assert said["second"] == 2
    assert "train: run_dir run is in use by process " in errors


def test_tokenizer_is_trained_and_used(process: tuple[dict[str, Any], str]) -> None:
    said, _ = process
    assert [said[f"bpe {name}"] for name in ("train", "encode", "decode", "report")] == [0] * 4
    assert said["same text"]
