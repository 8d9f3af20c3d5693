"""A model small enough to train in a test, and tokens for it."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from small_run import byte_data as make_byte_data
from small_run import byte_tokenizer as make_byte_tokenizer
from small_run import small_config as make_small_config
from trainer_jobs import SMALL_JOB, start
from warm_process import WarmPair

from bpe import Tokenizer
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.prepared import PreparedData


@pytest.fixture
def small_config() -> TrainConfig:
    return make_small_config()


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    return make_byte_tokenizer()


@pytest.fixture(scope="session")
def byte_data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return make_byte_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmPair]:
    """Two processes that fork others in milliseconds."""
    with WarmPair() as pair:
        yield pair


@pytest.fixture
def quiet() -> Display:
    """A display that nobody sees."""
    return Display(Console(file=io.StringIO()))


@pytest.fixture
def corpus_file(tmp_path: Path) -> Path:
    """Some kilobytes of text that a small vocabulary can be learnt from."""
    words = np.random.default_rng(3).choice(["the", "cat", "sat", "on", "a", "mat"], 3001)
    path = tmp_path / "cats.txt"
    path.write_text("\n".join(" ".join(words[n : n + 7]) for n in range(0, 3001, 7)))
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the small job has run once, by the real command."""
    directory = tmp_path_factory.mktemp("job")
    process = start(*SMALL_JOB, cwd=directory)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    (directory / "output.txt").write_text(output)
    return directory


@pytest.fixture
def finished_run(finished: Path, tmp_path: Path) -> Path:
    """The run of the small job and its data, copied to where a test may change them."""
    for name in ("data", "runs"):
        shutil.copytree(finished / name, tmp_path / name)
    return Path("runs/tiny-001")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # Threads are slower than one for models this small, and several tests may run side by side.
    torch.set_num_threads(1)
