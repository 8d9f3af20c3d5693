import dataclasses

import numpy as np
import pytest
import torch

from bpe import Tokenizer
from nn import ModelConfig, TransformerLM
from trainer.config import SampleConfig
from trainer.samples import Sampler

END = "<|endoftext|>"


@pytest.fixture
def model() -> TransformerLM:
    config = ModelConfig(
        vocab_size=257, context_length=17, d_model=12, num_layers=2, num_heads=3, d_ff=23
    )
    return TransformerLM(config, generator=torch.Generator().manual_seed(3))


def sampler(model: TransformerLM, tokenizer: Tokenizer, valid: str, **changes: object) -> Sampler:
    config = dataclasses.replace(SampleConfig(max_tokens=11), **changes)  # type: ignore[arg-type]
    return Sampler(model, tokenizer, config, END, tokenizer.encode_array(valid))


def test_same_seed_writes_the_same(model: TransformerLM, byte_tokenizer: Tokenizer) -> None:
    texts = sampler(model, byte_tokenizer, "abc" * 9)
    assert texts.write(seed=5) == texts.write(seed=5)
    assert texts.write(seed=5) != texts.write(seed=6)


def test_prompt_begins_the_text(model: TransformerLM, byte_tokenizer: Tokenizer) -> None:
    assert sampler(model, byte_tokenizer, "abc" * 9, prompt="Once").write(seed=1).startswith("Once")


def test_documents_are_begun_anew(model: TransformerLM, byte_tokenizer: Tokenizer) -> None:
    texts = sampler(model, byte_tokenizer, f"abc{END}def" * 9)
    assert texts.prompt == byte_tokenizer.encode(END)
    assert END not in texts.write(seed=1)


def test_text_without_documents_goes_on_from_its_first_words(
    model: TransformerLM, byte_tokenizer: Tokenizer
) -> None:
    assert sampler(model, byte_tokenizer, "abcdefghijkl").write(seed=1).startswith("abcdefgh")


def test_separator_ends_the_text(byte_tokenizer: Tokenizer, model: TransformerLM) -> None:
    with torch.no_grad():
        # The separator, id 0, becomes by far the likeliest token.
        model.lm_head.weight.zero_()
        model.ln_final.get_parameter("weight").zero_()
    valid = np.zeros(3, dtype=np.uint16)
    greedy = SampleConfig(max_tokens=11, prompt="Hi", temperature=0.0)
    assert Sampler(model, byte_tokenizer, greedy, END, valid).write(seed=1) == "Hi"


def test_prompt_longer_than_the_context_is_refused(
    model: TransformerLM, byte_tokenizer: Tokenizer
) -> None:
    with pytest.raises(ValueError, match=r"sample\.prompt has 18 tokens, more than .*=17"):
        sampler(model, byte_tokenizer, "abc" * 9, prompt="x" * 18)
