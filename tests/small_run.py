"""A run small enough to be taken again and again in a test: its configuration and its tokens."""

from pathlib import Path

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
from trainer.prepared import PreparedData

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
