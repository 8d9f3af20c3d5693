"""The scanners cut text exactly as the `regex` module does, over all of Unicode."""

import ctypes
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpe import PATTERNS
from bpe.kernels import library
from bpe.kernels.character_classes import INVALID, ROW_BYTES
from bpe.kernels.pattern_numbers import pattern_number
from bpe.patterns import compile_pattern
from bpe.pretokenize import split_pretokens

# Bytes that stand behind the text: a scanner that looks at them would join them to it.
_BEHIND = b"'s 1\xcc\x81" * 13
_CAPACITY = 128

# What the patterns treat in a special way, and characters beside it.
_POOLS = [
    "abzABZ",
    "'stdmlverSTDMLVER\u017f\u2019",
    " \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u2028\u3000",
    "019\u0663\u00bd\u2167\U0001d7ce",
    "\u4e2d\u02b0\u01c5\u00e9\u00c9\u0301\u0903\u0345\ufeff\u200d",
    "!?./-_\x00\x7f\u20ac\U0001f600\U000e0001\ue000\u0378",
]
_texts = st.lists(
    st.one_of(
        *[st.text(st.sampled_from(pool), min_size=1, max_size=7) for pool in _POOLS],
        st.text(max_size=3),
        st.builds(
            lambda character, times: character * times,
            st.sampled_from("".join(_POOLS)),
            st.sampled_from([31, 61, 62, 63, 64, 65, 67]),
        ),
    ),
    max_size=23,
).map("".join)


def _scan(pattern: str, data: bytes) -> list[bytes] | None:
    text = np.frombuffer(data + _BEHIND, np.uint8)
    ends = np.zeros(_CAPACITY + 8, np.int64)
    number = pattern_number(pattern)
    assert number is not None
    scan_text = library.load("training")["scan_text"]
    classes = ctypes.addressof(library.class_table())
    first = position = text.ctypes.data
    stop = first + len(data)
    pretokens = []
    while position < stop:
        count = scan_text(number, position, stop, classes, ends.ctypes.data, _CAPACITY)
        if count < 0:
            return None
        for end in ends[:count].tolist():
            pretokens.append(data[position - first : end - first])
            position = end
    return pretokens


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=500)
@given(text=_texts)
def test_scanner_cuts_as_the_regex_does(pattern: str, text: str) -> None:
    expected = [p.encode() for p in split_pretokens(compile_pattern(pattern), text)]
    assert _scan(pattern, text.encode()) == expected


@pytest.mark.parametrize("pattern", PATTERNS)
def test_scanner_agrees_on_every_code_point_between_letters_and_spaces(pattern: str) -> None:
    code_points = [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]
    text = "".join(f"a{chr(c)}b {chr(c)}{chr(c)} '{chr(c)}\n" for c in code_points[:: 7 * 11])
    # Every third of a plane is unassigned: what has a class goes in whole.
    text += "".join(f"{c}A{c}{c}1{c} " for c in map(chr, code_points) if c.isprintable())[::3]
    expected = [p.encode() for p in split_pretokens(compile_pattern(pattern), text)]
    assert _scan(pattern, text.encode()) == expected


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=_texts, junk=st.binary(min_size=1, max_size=5), tail=_texts)
def test_scanner_refuses_exactly_what_is_not_utf8(
    pattern: str, text: str, junk: bytes, tail: str
) -> None:
    data = text.encode() + junk + tail.encode()
    try:
        data.decode()
        is_utf8 = True
    except UnicodeDecodeError:
        is_utf8 = False
    assert (_scan(pattern, data) is not None) == is_utf8


def test_table_of_classes_holds_no_class_that_means_invalid() -> None:
    assert not any(byte & INVALID for byte in library.class_table().raw[ROW_BYTES:])
