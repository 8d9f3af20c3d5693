"""Ids equal those of tiktoken and tokenizers, and every text comes back."""

import random

import pytest
import tiktoken
import tokenizers
from bpe_reference import (
    SPECIALS,
    random_text,
    texts,
    tiktoken_of,
    tokenizers_of,
)
from hypothesis import given
from hypothesis import strategies as st

from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


@pytest.fixture(scope="module", params=["gpt2", "cl100k", "o200k", r"\p{L}+|\d|[\s\S]"])
def patterned(request: pytest.FixtureRequest, trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS, pattern=request.param)


@pytest.fixture(scope="module")
def theirs(patterned: Tokenizer) -> tiktoken.Encoding:
    return tiktoken_of(patterned)


@pytest.fixture(scope="module")
def hf(patterned: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tokenizers.Tokenizer:
    return tokenizers_of(patterned, tmp_path_factory.mktemp("hf"))


@given(text=texts(SPECIALS))
def test_ids_equal_tiktokens(patterned: Tokenizer, theirs: tiktoken.Encoding, text: str) -> None:
    assert patterned.encode(text) == theirs.encode(text, allowed_special="all")


@given(text=texts(SPECIALS))
def test_ids_equal_those_of_the_tokenizers_library(
    patterned: Tokenizer, hf: tokenizers.Tokenizer, text: str
) -> None:
    assert patterned.encode(text) == hf.encode(text).ids


@given(text=texts(SPECIALS))
def test_ordinary_ids_equal_tiktokens(
    patterned: Tokenizer, theirs: tiktoken.Encoding, text: str
) -> None:
    assert patterned.encode(text, allowed_special="none") == theirs.encode_ordinary(text)


def test_ids_of_a_text_of_many_windows_equal_tiktokens(
    patterned: Tokenizer, theirs: tiktoken.Encoding, corpus: str
) -> None:
    text = (corpus + "<|endoftext|>") * 3
    assert patterned.encode(text) == theirs.encode(text, allowed_special="all")


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(patterned: Tokenizer, text: str) -> None:
    assert patterned.decode(patterned.encode(text)) == text


@pytest.mark.parametrize("count", [5000, pytest.param(50_000, marks=pytest.mark.long)])
def test_thousands_of_texts_have_tiktokens_ids(
    patterned: Tokenizer, theirs: tiktoken.Encoding, count: int
) -> None:
    source = random.Random(count)
    for _ in range(count // 4):  # of four patterns
        text = random_text(source, SPECIALS)
        assert patterned.encode(text) == theirs.encode(text, allowed_special="all")


@pytest.mark.parametrize("count", [10_000, pytest.param(500_000, marks=pytest.mark.long)])
def test_thousands_of_texts_come_back(tokenizer: Tokenizer, count: int) -> None:
    source = random.Random(count)
    for _ in range(count):
        text = random_text(source, SPECIALS)
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("count", [5000, pytest.param(500_000, marks=pytest.mark.long)])
def test_thousands_of_byte_strings_come_back_as_python_reads_them(
    tokenizer: Tokenizer, count: int
) -> None:
    source = random.Random(count)
    first = len(SPECIALS)
    for _ in range(count):
        data = source.randbytes(source.randrange(23))
        ids = [first + byte for byte in data]
        assert tokenizer.decode_bytes(ids) == data
        text = data.decode("utf-8", "replace")
        assert tokenizer.decode(ids) == "".join(tokenizer.decode_stream(ids)) == text


@pytest.mark.parametrize(
    "text", ["\x00a\x00", "\ufeffbom", "a\r\nb\rc\n", "a\u2028b\u2029\x85c", "", "e\u0301\u200d"]
)
def test_odd_characters_come_back_byte_for_byte(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()


@given(ids=st.lists(st.integers(0, 768), max_size=31))
def test_any_ids_decode_as_tiktoken_decodes_them(tokenizer: Tokenizer, ids: list[int]) -> None:
    data = tiktoken_of(tokenizer).decode_bytes(ids)
    assert tokenizer.decode_bytes(ids) == data
    assert tokenizer.decode(ids) == data.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "text", ["a\ud800b", "\udc00", "a\ud83d\ude00b", "\ud83d\ud83d", "é\udfff"]
)
def test_surrogates_are_replaced_as_tiktoken_does(tokenizer: Tokenizer, text: str) -> None:
    expected = tiktoken_of(tokenizer).encode(text)
    assert tokenizer.encode(text, errors="replace") == expected
