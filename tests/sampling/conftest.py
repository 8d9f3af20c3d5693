"""A tiny model and a byte-level tokenizer, fresh from one seed, that every test here may share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bpe import Tokenizer
from nn import ModelConfig, TransformerLM

Build = Callable[..., TransformerLM]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Multiply tiny matrices in one thread: several would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def build() -> Build:
    """Return a function that builds a model of 257 ids; keywords change its config.

    In float64: two ways of computing one logit then differ by less than any two logits do.
    """

    def build_model(**changes: Any) -> TransformerLM:
        sizes: dict[str, Any] = {
            "vocab_size": 257,
            "context_length": 23,
            "d_model": 28,
            "num_layers": 2,
        }
        config = ModelConfig(**{**sizes, "num_heads": 2, **changes})
        generator = torch.Generator().manual_seed(37)
        model = TransformerLM(config, dtype=torch.float64, generator=generator)
        # Larger output weights: a new model is so unsure that every text looks random.
        with torch.no_grad():
            model.lm_head.weight.mul_(5)
        return model

    return build_model


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], ["<|endoftext|>"])


@pytest.fixture
def run_directory(tmp_path: Path, build: Build, tokenizer: Tokenizer) -> Path:
    """Write a run with a model that says only letters, in float32."""
    model = build().float()
    with torch.no_grad():
        # The logit of id i is the hidden state's product with row i: a row of zeros gives 0.
        model.lm_head.weight[: ord("a")] = 0
        model.lm_head.weight[ord("z") + 1 :] = 0
        model.lm_head.weight[ord("a") : ord("z") + 1] *= 5
    run = tmp_path / "run"
    model.save(run / "model")
    tokenizer.save(run / "tokenizer")
    return run
