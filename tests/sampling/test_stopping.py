"""Ends of texts: nothing after a stop gets out, whatever the borders of the tokens."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampling import SamplingConfig
from sampling.stopping import Gate, StopStringFinder

letters = st.text("ab", max_size=24).map(str.encode)
stops_of_letters = st.lists(st.text("ab", min_size=1, max_size=4).map(str.encode), max_size=3)


def cut_by_hand(text: bytes, stops: Sequence[bytes]) -> bytes:
    """Read byte by byte: at the first end of a stop, drop the longest that ends there."""
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


@given(letters, stops_of_letters, st.data())
def test_stop_is_found_across_any_borders(
    text: bytes, stops: list[bytes], data: st.DataObject
) -> None:
    finder = StopStringFinder(stops)
    out, rest = b"", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        piece, stopped = finder.push(rest[:size])
        out, rest = out + piece, rest[size:]
        # All that got out so far is certain.
        assert cut_by_hand(text, stops).startswith(out)
        if stopped:
            break
    assert out + finder.flush() == cut_by_hand(text, stops)


def test_only_a_possible_beginning_is_held_back() -> None:
    finder = StopStringFinder([b"END"])
    assert [finder.push(b)[0] for b in (b"an E", b"N", b"D of")] == [b"an ", b"", b""]
    finder = StopStringFinder([b"END"])
    assert [finder.push(b)[0] for b in (b"an E", b"N", b"E", b"x")] == [b"an ", b"", b"EN", b"Ex"]


WORDS = {0: b"once", 1: b" TH", 2: b"E E", 3: b"ND", 4: b"E", 5: b" fox"}


def let_out(config: SamplingConfig, tokens: Sequence[int]) -> tuple[list[int], bytes, str | None]:
    gate = Gate(config, WORDS.__getitem__)
    out, data = [], b""
    for token in tokens:
        piece = gate.push(token)
        out += piece.tokens
        data += piece.data
        if piece.finish_reason is not None:
            return out, data, piece.finish_reason
    return out, data, None


def test_token_that_a_stop_string_begins_in_is_dropped_and_its_text_cut() -> None:
    config = SamplingConfig(stop_strings=["THE END"])
    assert let_out(config, [0, 1, 2, 3, 5]) == ([0], b"once ", "stop")


def test_held_tokens_get_out_when_the_stop_string_does_not_come() -> None:
    config = SamplingConfig(stop_strings=["THE END"])
    assert let_out(config, [0, 1, 2, 5]) == ([0, 1, 2, 5], b"once THE E fox", None)


def test_held_tokens_get_out_at_the_last_token() -> None:
    config = SamplingConfig(stop_strings=["THE END"], max_tokens=3)
    assert let_out(config, [0, 1, 2, 3]) == ([0, 1, 2], b"once THE E", "length")


def test_stop_string_that_ends_with_the_last_token_is_a_stop() -> None:
    config = SamplingConfig(stop_strings=["THE END"], max_tokens=4)
    assert let_out(config, [0, 1, 2, 3]) == ([0], b"once ", "stop")


def test_stop_token_ends_the_text_and_is_no_part_of_it() -> None:
    config = SamplingConfig(stop_tokens=[5], stop_strings=["THE END"])
    assert let_out(config, [0, 1, 5, 4]) == ([0, 1], b"once TH", "stop")


def test_stop_string_inside_one_token_stops() -> None:
    config = SamplingConfig(stop_strings=["fo"])
    assert let_out(config, [0, 5, 4]) == ([0], b"once ", "stop")


def test_without_bytes_tokens_get_out_at_once() -> None:
    gate = Gate(SamplingConfig(max_tokens=2, stop_tokens=[7]))
    pieces = [gate.push(3), gate.push(4)]
    assert [(piece.tokens, piece.finish_reason) for piece in pieces] == [
        ([3], None),
        ([4], "length"),
    ]


@pytest.mark.parametrize(("stops", "expected"), [([b"abcd", b"bc"], b"a"), ([b"bc", b"c"], b"a")])
def test_stop_that_ends_first_wins_then_the_longest(stops: list[bytes], expected: bytes) -> None:
    assert StopStringFinder(stops).push(b"abcd") == (expected, True)
