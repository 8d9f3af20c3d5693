"""Merging one pretoken: both ways against the naive one, for any list of merges."""

import random

import pytest
from bpe_reference import naive_merge
from hypothesis import given, settings
from hypothesis import strategies as st

from bpe.encoding import MergeTable

Merges = list[tuple[bytes, bytes]]


@st.composite
def merge_lists(draw: st.DrawFn) -> Merges:
    """Draw merges of three letters, each of tokens that exist; half the time in any order."""
    tokens = [b"a", b"b", b"c"]
    merges: Merges = []
    for _ in range(draw(st.integers(0, 11))):
        pair = (draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens)))
        if pair not in merges:
            merges.append(pair)
            if pair[0] + pair[1] not in tokens:
                tokens.append(pair[0] + pair[1])
    return draw(st.permutations(merges) | st.just(merges))


def table_of(merges: Merges, seed: int = 3) -> tuple[MergeTable, dict[int, bytes]]:
    """Build a table whose ids are shuffled, and the way back to bytes."""
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += sorted({left + right for left, right in merges})
    numbers = list(range(len(tokens)))
    random.Random(seed).shuffle(numbers)
    ids = dict(zip(tokens, numbers, strict=True))
    return MergeTable(ids, merges), {number: token for token, number in ids.items()}


@settings(max_examples=150)
@given(merge_lists(), st.lists(st.sampled_from(b"abc"), max_size=37).map(bytes))
def test_short_pretokens_merge_as_the_naive_way(merges: Merges, data: bytes) -> None:
    table, tokens = table_of(merges)
    assert [tokens[i] for i in table.merge(data)] == naive_merge(data, merges)


@settings(max_examples=150)
@given(merge_lists(), st.lists(st.sampled_from(b"abc"), min_size=41, max_size=83).map(bytes))
def test_long_pretokens_merge_as_the_naive_way(merges: Merges, data: bytes) -> None:
    table, tokens = table_of(merges)
    assert [tokens[i] for i in table.merge(data)] == naive_merge(data, merges)


@given(st.integers(2, 97))
def test_a_run_of_one_letter_merges_as_the_naive_way(length: int) -> None:
    merges = [(b"a", b"a"), (b"aa", b"a"), (b"aa", b"aa")]
    table, tokens = table_of(merges)
    assert [tokens[i] for i in table.merge(b"a" * length)] == naive_merge(b"a" * length, merges)


@pytest.mark.parametrize("size", [7, 47])
def test_a_merge_listed_before_its_parts_goes_first_once_it_applies(size: int) -> None:
    merges = [(b"ab", b"c"), (b"a", b"b"), (b"c", b"a")]
    table, tokens = table_of(merges)
    data = b"abca" * size
    merged = [tokens[i] for i in table.merge(data)]
    assert merged == [b"abc", b"a"] * size


@pytest.mark.parametrize(
    "merges",
    [
        [(b"ab", b"a"), (b"a", b"b")],
        [(b"cab", b"a"), (b"c", b"ab"), (b"a", b"b")],
    ],
)
@pytest.mark.parametrize("size", [7, 47])
def test_a_pair_that_comes_up_does_not_wait_for_the_rest_of_a_worse_rank(
    merges: Merges, size: int
) -> None:
    table, tokens = table_of(merges)
    data = b"cabab" * size
    assert [tokens[i] for i in table.merge(data)] == naive_merge(data, merges)


def test_priority_is_the_position_in_the_merges_and_not_the_id() -> None:
    merges = [(b"b", b"c"), (b"a", b"b")]
    for seed in range(5):
        table, tokens = table_of(merges, seed)
        assert [tokens[i] for i in table.merge(b"abc")] == [b"a", b"bc"]


def test_whole_pretokens_win_over_merges_where_asked() -> None:
    merges = [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")]
    ids = {bytes([byte]): byte for byte in range(256)} | {b"bc": 256, b"ab": 257, b"abc": 258}
    assert MergeTable(ids, merges).encode("abc") == (ord("a"), 256)
    assert MergeTable(ids, merges, ids).encode("abc") == (258,)


def test_no_bytes_make_no_tokens() -> None:
    assert table_of([])[0].merge(b"") == []
