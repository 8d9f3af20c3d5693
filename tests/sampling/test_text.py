"""Text in, text out: whole characters, exact ends, special tokens as ordinary text."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bpe import Tokenizer
from nn import TransformerLM
from sampling import SamplingConfig, TextStream, generate, generate_text, stream_text
from sampling.stopping import Gate, Piece

Build = Callable[..., TransformerLM]
BYTES = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [])


def stream_of(text: str, config: SamplingConfig) -> TextStream:
    """Stream `text` as tokens of one byte each through a gate."""

    def pieces() -> Iterator[Piece]:
        gate = Gate(config, lambda token: bytes([token]))
        for byte in text.encode():
            piece = gate.push(byte)
            yield piece
            if piece.finish_reason is not None:
                return

    return TextStream(pieces())


@given(st.text(min_size=1, max_size=20))
def test_stream_never_shows_half_a_character(text: str) -> None:
    size = len(text.encode())
    pieces = list(stream_of(text, SamplingConfig(max_tokens=size)))
    assert pieces == list(text)


def test_character_cut_off_by_the_limit_is_replaced() -> None:
    assert "".join(stream_of("aé", SamplingConfig(max_tokens=2))) == "a\ufffd"


def test_text_ends_exactly_where_a_stop_string_begins() -> None:
    stream = stream_of("the fox. THE END. more", SamplingConfig(stop_strings=[" THE END"]))
    assert "".join(stream) == "the fox."
    assert (stream.finish_reason, stream.num_tokens) == ("stop", len("the fox. THE END"))


def test_finish_reason_and_count_are_known_at_the_end(build: Build, tokenizer: Tokenizer) -> None:
    stream = stream_text(build(), tokenizer, "ab", SamplingConfig(max_tokens=5, seed=0))
    next(stream)
    assert stream.finish_reason is None
    list(stream)
    assert [stream.finish_reason, stream.num_tokens] == ["length", 5]


def test_streamed_text_is_that_of_the_generated_tokens(build: Build, tokenizer: Tokenizer) -> None:
    model = build()
    config = SamplingConfig(max_tokens=41, seed=6)
    ids = generate(model, tokenizer.encode("fox"), config, tokenizer=tokenizer)
    assert generate_text(model, tokenizer, "fox", config) == tokenizer.decode(ids)


def test_pieces_are_those_of_the_tokenizers_own_stream(build: Build, tokenizer: Tokenizer) -> None:
    model = build()
    config = SamplingConfig(max_tokens=41, seed=6)
    ids = generate(model, tokenizer.encode("fox"), config, tokenizer=tokenizer)
    pieces = list(stream_text(model, tokenizer, "fox", config))
    assert pieces == [piece for piece in tokenizer.decode_stream(ids) if piece]


def test_special_token_in_a_prompt_is_ordinary_text(build: Build, tokenizer: Tokenizer) -> None:
    """As one token the prompt fits a context of 7, as thirteen bytes it does not."""
    model = build(context_length=7)
    config = SamplingConfig(max_tokens=1, seed=0)
    with pytest.raises(ValueError, match="prompt 0 has 13 tokens"):
        generate_text(model, tokenizer, "<|endoftext|>", config)
    generate_text(model, tokenizer, "<|endoftext|>", config, allow_special=True)


def test_empty_prompt_is_refused(build: Build, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="prompt 0 is empty"):
        stream_text(build(), tokenizer, "")


def test_generator_is_passed_on(build: Build, tokenizer: Tokenizer) -> None:
    model = build()
    config = SamplingConfig(max_tokens=17)
    texts = [
        generate_text(model, tokenizer, "a", config, generator=torch.Generator().manual_seed(seed))
        for seed in (2, 2, 3)
    ]
    assert texts[0] == texts[1] != texts[2]
