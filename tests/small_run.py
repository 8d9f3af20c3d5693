"""A run small enough to be taken again and again in a test: configuration, tokens and logs."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from bpe import Tokenizer
from nn import ModelConfig
from trainer import checkpoints
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
from trainer.loop import Outcome, train
from trainer.prepared import PreparedData
from trainer.run_directory import RunDirectory

END = "<|endoftext|>"


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


def byte_tokenizer() -> Tokenizer:
    """The tokenizer without merges: the separator is 0, byte b is b + 1."""
    vocab = {0: END.encode()} | {byte + 1: bytes([byte]) for byte in range(256)}
    return Tokenizer(vocab, [], [END])


def byte_data(directory: Path) -> PreparedData:
    """Tokens that a model can learn: the alphabet in order, and a separator now and then."""
    tokenizer = byte_tokenizer()
    text = "".join(END * (n % 7 == 0) + "abcdefghijklmnopqrstuvwxyz " for n in range(53))
    tokens = tokenizer.encode_array(text)
    tokenizer.save(directory / "tokenizer")
    return PreparedData(
        directory=directory,
        tokenizer=tokenizer,
        train=tokens,
        valid=tokens[: 7 * 27],
        train_bytes=len(text),
        valid_bytes=7 * 27,
        valid_entropy=None,
        identity={"tokenizer": tokenizer.sha256, "train_tokens": "1", "valid_tokens": "2"},
    )


def run_to(
    path: Path, config: TrainConfig, data: PreparedData, display: Display, *, resume: bool = False
) -> Outcome:
    """Train in a directory, from the start or from its last checkpoint."""
    run = RunDirectory(path)
    path.mkdir(exist_ok=True)
    found = checkpoints.steps(run.checkpoints)
    checkpoint = checkpoints.verify(found[-1]) if resume else None
    device = torch.device("cpu")
    return train(config, run, data, device, display, identity={}, resume_from=checkpoint)


def cut_after(path: Path, step: int) -> None:
    """Leave of a run what a kill after `step` leaves: its later checkpoints are gone."""
    for later in checkpoints.steps(path / "checkpoints"):
        if int(later.name.removeprefix(checkpoints.PREFIX)) > step:
            later.rename(path / later.name)


def rows(path: Path) -> list[dict[str, Any]]:
    """Return what was logged."""
    return list(RunDirectory(path).read_metrics())


def timeless(path: Path) -> list[dict[str, Any]]:
    """Return the metrics without what a clock decides."""
    clock = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if k not in clock} for row in rows(path)]


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the last checkpoint."""
    return load_file(checkpoints.steps(path / "checkpoints")[-1] / "model.safetensors")
