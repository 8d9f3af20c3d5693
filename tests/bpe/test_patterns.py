"""The named patterns cut text as the libraries that published them do."""

from itertools import product

import pytest
import regex
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken_ext import openai_public  # type: ignore[import-untyped]
from tokenizers import pre_tokenizers

from bpe.engines import Engine
from bpe.patterns import PATTERNS, compile_pattern
from bpe.tokenizer import Tokenizer

# What the patterns tell apart, densely: contractions, cases, marks, numbers, kinds of whitespace.
TRICKY = " \n\r\t'sSdmtlvreEſA019.,!?/-é漢\u0301\u02b0ǅ🙂½٣\u00a0\u2028\u3000\u200d"
# Characters that every Unicode version in use assigns alike.
texts = st.text(
    st.sampled_from(TRICKY)
    | st.characters(max_codepoint=0x2FFF, exclude_categories=["Cn", "Cs", "Co"])
)


# Those of tiktoken; for llama3 see the tests of Hugging Face's format.
PUBLISHED = ["gpt2", "cl100k", "o200k"]


def published_pattern(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    # The vocabularies would be fetched from the network; only their patterns are wanted.
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {})
    monkeypatch.setattr(openai_public, "data_gym_to_mergeable_bpe_ranks", lambda *_, **__: {})
    encoding = getattr(openai_public, {"gpt2": "gpt2"}.get(name, f"{name}_base"))()
    return str(encoding["pat_str"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_named_pattern_cuts_as_the_published_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = regex.compile(published_pattern(name, monkeypatch))
    ours = compile_pattern(name)

    @given(texts)
    def check(text: str) -> None:
        assert ours.findall(text) == published.findall(text)

    check()


@pytest.mark.parametrize("engine", ["reference", "kernels"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_ids_of_every_short_text_are_those_of_tiktokens_own_encoding(
    name: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where two of these bytes are one pretoken they are one token.
    merges = [(bytes([left]), bytes([right])) for left, right in product(b" \nt.", repeat=2)]
    tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in merges)]
    tokenizer = Tokenizer(dict(enumerate(tokens)), merges, pattern=name, engine=engine)
    theirs = tiktoken.Encoding(
        name,
        pat_str=published_pattern(name, monkeypatch),
        mergeable_ranks={token: token_id for token_id, token in enumerate(tokens)},
        special_tokens={},
    )
    texts = ["".join(letters) for letters in product(" \nt.", repeat=5)]
    assert [*map(tokenizer.encode, texts)] == [*map(theirs.encode_ordinary, texts)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_tiktokens_own_spelling_is_the_named_pattern(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocab = {byte: bytes([byte]) for byte in range(256)}
    tokenizer = Tokenizer(vocab, [], pattern=published_pattern(name, monkeypatch))
    assert tokenizer.pattern == name


def test_llama3_leaves_the_last_line_break_by_itself() -> None:
    assert compile_pattern("llama3").findall("a\n ") == ["a", "\n", " "]
    assert compile_pattern("cl100k").findall("a\n ") == ["a", "\n "]


@given(texts)
def test_gpt2_pattern_cuts_as_the_tokenizers_library(text: str) -> None:
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    spans = [match.span() for match in compile_pattern("gpt2").finditer(text)]
    assert spans == [span for _, span in pieces]


@pytest.mark.parametrize("name", PATTERNS)
@given(text=st.text())
def test_named_pattern_loses_no_character(name: str, text: str) -> None:
    assert "".join(compile_pattern(name).findall(text)) == text


def test_gpt2_pattern_is_the_default_of_the_design() -> None:
    assert PATTERNS["gpt2"] == (
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    )


def test_any_other_string_is_a_regular_expression() -> None:
    assert compile_pattern(r"\d+|\D").findall("a12") == ["a", "12"]


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [("GPT2", "gpt2"), ("gpt-2", "gpt2"), ("cl100k_base", "cl100k"), ("o200", "o200k")],
)
def test_misspelt_name_gets_the_nearest_right_one(given_name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"{given_name}.*did you mean '{meant}'"):
        compile_pattern(given_name)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'wordpiece'; the named ones are 'gpt2', 'cl100k'"):
        compile_pattern("wordpiece")


@pytest.mark.parametrize("expression", ["(", "[a", r"\p{Foo}", "a**", ""])
def test_invalid_regular_expression_is_named(expression: str) -> None:
    with pytest.raises(ValueError, match=r"^pattern (is empty|.* is not a valid regex: )"):
        compile_pattern(expression)
