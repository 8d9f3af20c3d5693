"""Chunks of a text hold exactly the pretokens of the whole."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpe.chunking import ChunkCutter, cut_chunks
from bpe.patterns import PATTERNS, compile_pattern
from bpe.pretokenize import split_pretokens
from bpe.specials import split_on_specials

# Specials that overlap themselves and each other, with and without places to cut inside.
SPECIALS = [[], ["<|>"], ["<", "<|>|"], ["s|> t", "> "], ["'s", "é"], ["||", "|>"], ["aa a", "a a"]]
# Every class that a pattern or a cut tells apart, the specials and pieces of them.
tricky_texts = st.text(" \n\r\t'sSltv9.!/-éA\u0301\u02b0漢🙂\u00a0\u2028<|>") | st.lists(
    st.sampled_from(
        ["s|> t", "<|>", "|>", "||", "> ", "a", "a a", " ", "s", "é", "9", "<|", "\n", "."]
    )
).map("".join)


def tokenize(text: str, pattern: str, specials: list[str]) -> list[str]:
    compiled = compile_pattern(pattern)
    pretokens: list[str] = []
    for piece, is_special in split_on_specials(text, specials):
        pretokens += [piece] if is_special else split_pretokens(compiled, piece)
    return pretokens


def chunks_of(text: str, pattern: str, specials: list[str], size: int) -> list[str]:
    cutter = ChunkCutter(compile_pattern(pattern), specials)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return list(cut_chunks(pieces, cutter))


@pytest.mark.parametrize("pattern", [*PATTERNS, r"\w+ \w+|[^<]{2}", r"(?<=a.*)\w|."])
@given(text=tricky_texts, specials=st.sampled_from(SPECIALS), size=st.integers(1, 13))
@example(text="<|><|>|<|>| < |> s|> t's|", specials=["<", "<|>|"], size=3)
def test_chunks_have_the_pretokens_of_the_whole(
    pattern: str, text: str, specials: list[str], size: int
) -> None:
    chunks = chunks_of(text, pattern, specials, size)
    pretokens = [token for chunk in chunks for token in tokenize(chunk, pattern, specials)]
    assert pretokens == tokenize(text, pattern, specials)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=tricky_texts, specials=st.sampled_from(SPECIALS))
def test_every_cut_keeps_the_pretokens(pattern: str, text: str, specials: list[str]) -> None:
    cutter = ChunkCutter(compile_pattern(pattern), specials)
    whole = tokenize(text, pattern, specials)
    for end in range(len(text) + 1):
        cut = cutter.last_cut(text[:end])
        assert (
            tokenize(text[:cut], pattern, specials) + tokenize(text[cut:], pattern, specials)
            == whole
        )


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("unit", ["the quick fox\r\n", "0f3a9c", "長い文章。", "- ! - "])
def test_chunks_are_bounded_without_line_breaks(pattern: str, unit: str) -> None:
    chunks = chunks_of(unit * 1009, pattern, ["<|endoftext|>"], 101)
    assert max(map(len, chunks)) < 2 * 101


def test_other_patterns_are_cut_at_specials_alone() -> None:
    chunks = chunks_of("one two<e>three four<e>five", r"\w+ \w+|.", ["<e>"], 5)
    assert chunks == ["one two", "<e>three four", "<e>five"]


def test_text_without_a_cut_is_searched_a_few_times_only() -> None:
    searched: list[int] = []

    class Cutter(ChunkCutter):
        def last_cut(self, text: str) -> int:
            searched.append(len(text))
            return super().last_cut(text)

    cutter = Cutter(compile_pattern("gpt2"), [])
    assert list(cut_chunks(["a" * 7] * 10_007, cutter)) == ["a" * 70_049]
    assert sum(searched) < 2 * 70_049
