"""Merges learned with incremental counts are those of a trainer that counts anew every time."""

import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpe.merging import learn_merges

# Few letters, so that pairs repeat, overlap and tie.
pretoken_counts = st.dictionaries(st.text("abcé", min_size=1, max_size=12), st.integers(1, 7))

# The bytes in the order of the characters that stand for them in GPT-2's files: the library
# numbers its alphabet so. The printable ones stand for themselves, the others come after.
_UNPRINTABLE = [*range(0x21), *range(0x7F, 0xA1), 0xAD]
HUGGINGFACE_ORDER = [byte for byte in range(256) if byte not in _UNPRINTABLE] + _UNPRINTABLE


def naive_merges(
    counts: dict[str, int], num_merges: int, rank: dict[bytes, int] | None = None
) -> list[tuple[bytes, bytes]]:
    """Count every pair anew for each merge; with `rank`, ties go to the smaller pair of ranks."""
    words = {pretoken: [bytes([byte]) for byte in pretoken.encode()] for pretoken in counts}
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < num_merges:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for pretoken, word in words.items():
            for pair in pairwise(word):
                pairs[pair] += counts[pretoken]
        if not pairs:
            break
        most = max(pairs.values())
        ties = [pair for pair, count in pairs.items() if count == most]
        if rank is None:
            best = max(ties)
        else:
            best = min(ties, key=lambda pair: (rank[pair[0]], rank[pair[1]]))
            rank[best[0] + best[1]] = len(rank)
        merges.append(best)
        for pretoken, word in words.items():
            words[pretoken] = naive_merge(word, best)
    return merges


def naive_merge(word: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    merged: list[bytes] = []
    for token in word:
        merged.append(token)
        # A token that was just merged is longer than the left part, so it is not taken twice.
        if len(merged) > 1 and (merged[-2], merged[-1]) == pair:
            merged[-2:] = [pair[0] + pair[1]]
    return merged


@given(pretoken_counts, st.integers(0, 23))
def test_merges_equal_those_of_the_naive_trainer(counts: dict[str, int], num_merges: int) -> None:
    assert learn_merges(counts, num_merges) == naive_merges(counts, num_merges)


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 7)))
def test_merges_of_any_text_equal_those_of_the_naive_trainer(counts: dict[str, int]) -> None:
    assert learn_merges(counts, 31) == naive_merges(counts, 31)


def test_huggingface_ties_go_by_the_characters_that_stand_for_bytes() -> None:
    # Two bytes each, of which the first is 0xC2: all tie, and the second decides.
    merges = learn_merges({chr(code): 1 for code in range(0x80, 0xC0)}, 64, tie_break="huggingface")
    seconds = [byte for byte in HUGGINGFACE_ORDER if 0x80 <= byte < 0xC0]
    assert merges == [(b"\xc2", bytes([byte])) for byte in seconds]


@given(pretoken_counts, st.integers(0, 23))
def test_huggingface_ties_equal_those_of_the_naive_trainer(
    counts: dict[str, int], num_merges: int
) -> None:
    rank = {bytes([byte]): position for position, byte in enumerate(HUGGINGFACE_ORDER)}
    merges = learn_merges(counts, num_merges, tie_break="huggingface")
    assert merges == naive_merges(counts, num_merges, rank)


@given(pretoken_counts)
def test_order_of_the_counts_does_not_matter(counts: dict[str, int]) -> None:
    assert learn_merges(dict(reversed(counts.items())), 31) == learn_merges(counts, 31)


@given(pretoken_counts, st.integers(0, 23))
def test_fewer_merges_are_a_prefix_of_more(counts: dict[str, int], num_merges: int) -> None:
    assert learn_merges(counts, num_merges) == learn_merges(counts, 31)[:num_merges]


@given(pretoken_counts)
def test_no_token_is_made_twice(counts: dict[str, int]) -> None:
    tokens = [left + right for left, right in learn_merges(counts, 1009)]
    assert len(set(tokens)) == len(tokens)


@given(pretoken_counts)
def test_all_merges_make_every_pretoken_one_token(counts: dict[str, int]) -> None:
    tokens = {left + right for left, right in learn_merges(counts, 1009)}
    assert {pretoken.encode() for pretoken in counts if len(pretoken.encode()) > 1} <= tokens


def test_tie_goes_to_the_lexicographically_greater_pair() -> None:
    counts = {"ab": 3, "ac": 3, "bA": 3, "b": 5}
    assert learn_merges(counts, 3) == [(b"b", b"A"), (b"a", b"c"), (b"a", b"b")]


def test_longer_token_is_greater_than_its_prefix() -> None:
    # Once "ab" is merged, (ab, d) and (a, d) tie.
    assert learn_merges({"abd": 5, "ad": 5, "ab": 2}, 2) == [(b"a", b"b"), (b"ab", b"d")]


def test_pairs_overlap_when_counted_but_not_when_merged() -> None:
    # "aaaa" holds three pairs (a, a), which beat two of (b, c); then (aa, aa) is left once.
    assert learn_merges({"aaaa": 1, "bc": 2}, 3) == [(b"a", b"a"), (b"b", b"c"), (b"aa", b"aa")]


def test_counts_beyond_64_bits_are_exact() -> None:
    assert learn_merges({"ab": 2**64, "cd": 2**64 + 1}, 1) == [(b"c", b"d")]


def test_each_new_token_is_reported() -> None:
    seen: list[bytes] = []
    learn_merges({"abc": 2, "ab": 3}, 7, on_merge=seen.append)
    assert seen == [b"ab", b"abc"]


@pytest.mark.parametrize("unit", ["a", "ab", "🙂", "0123456789"])
def test_pretoken_of_a_megabyte_takes_seconds(unit: str) -> None:
    pretoken = unit * (1_000_003 // len(unit.encode()))
    start = time.process_time()
    learn_merges({pretoken: 1}, 29)
    assert time.process_time() - start < 5
