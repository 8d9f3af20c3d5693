"""The wheels that we build: `bpe` works alone and without torch; `trainer` alone cannot install."""

import os
import subprocess
from pathlib import Path

import pytest
from workspace.project import ROOT

UV = os.environ.get("UV", "uv")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # The environment that runs the tests must not be the one that uv installs into.
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheels of `bpe` and `trainer`."""
    folder = tmp_path_factory.mktemp("wheels")
    for package in ("bpe", "trainer"):
        built = run(UV, "build", "--package", package, "--wheel", "--out-dir", folder)
        assert built.returncode == 0, built.stderr
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def empty_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with nothing in it and return its interpreter."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    made = run(UV, "venv", folder)
    assert made.returncode == 0, made.stderr
    return folder / "bin" / "python"


def test_bpe_wheel_works_alone_and_without_torch(
    wheels: dict[str, Path], empty_python: Path, tmp_path: Path
) -> None:
    installed = run(UV, "pip", "install", "--python", empty_python, wheels["bpe"])
    assert installed.returncode == 0, installed.stderr
    program = """
import importlib.util, pathlib
import bpe
assert importlib.util.find_spec("torch") is None
pathlib.Path("text.txt").write_text("low lower lowest " * 50)
vocab, merges = bpe.train_bpe("text.txt", 260, ["<|endoftext|>"])
tokenizer = bpe.Tokenizer(vocab, merges, ["<|endoftext|>"])
assert tokenizer.decode(tokenizer.encode("lowest of all")) == "lowest of all"
assert len(tokenizer.encode("low")) == 1
"""
    finished = run(empty_python, "-c", program, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    helped = run(empty_python.parent / "bpe", "--help")
    assert helped.returncode == 0, helped.stderr
    assert "train" in helped.stdout


def test_trainer_wheel_alone_never_pulls_a_strangers_package(
    wheels: dict[str, Path], empty_python: Path
) -> None:
    installed = run(UV, "pip", "install", "--dry-run", "--python", empty_python, wheels["trainer"])
    assert installed.returncode != 0
    assert "+groundup" in installed.stderr
