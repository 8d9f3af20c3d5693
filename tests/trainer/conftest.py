"""A model small enough to train in a test, and tokens for it."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from trainer_jobs import SMALL_JOB, start

from bpe import Tokenizer
from nn import ModelConfig
from trainer.config import (
    CheckpointConfig,
    DataConfig,
    EvalConfig,
    OptimizerConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from trainer.display import Display
from trainer.prepared import PreparedData

END = "<|endoftext|>"


@pytest.fixture
def small_config() -> TrainConfig:
    """Seven steps of a model of two layers over bytes, with everything switched on."""
    return TrainConfig(
        seed=5,
        max_steps=7,
        batch_size=6,
        device="cpu",
        log_every=1,
        model=ModelConfig(
            vocab_size=257, context_length=17, d_model=12, num_layers=2, num_heads=3, d_ff=23
        ),
        optimizer=OptimizerConfig(lr=1e-2, max_grad_norm=0.3),
        schedule=ScheduleConfig(warmup_steps=3),
        data=DataConfig(vocab_size=257),
        eval=EvalConfig(every=3, windows=4, final_windows=11),
        checkpoint=CheckpointConfig(every=2, keep=3),
        sample=SampleConfig(every=5, max_tokens=13),
    )


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    """The tokenizer without merges: the separator is 0, byte b is b + 1."""
    vocab = {0: END.encode()} | {byte + 1: bytes([byte]) for byte in range(256)}
    return Tokenizer(vocab, [], [END])


@pytest.fixture(scope="session")
def byte_data(byte_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Tokens that a model can learn: the alphabet in order, and a separator now and then."""
    text = "".join(END * (n % 7 == 0) + "abcdefghijklmnopqrstuvwxyz " for n in range(53))
    tokens = byte_tokenizer.encode_array(text)
    directory = tmp_path_factory.mktemp("data")
    byte_tokenizer.save(directory / "tokenizer")
    return PreparedData(
        directory=directory,
        tokenizer=byte_tokenizer,
        train=tokens,
        valid=tokens[: 7 * 27],
        train_bytes=len(text),
        valid_bytes=7 * 27,
        valid_entropy=None,
        identity={"tokenizer": byte_tokenizer.sha256, "train_tokens": "1", "valid_tokens": "2"},
    )


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
