"""Pretokens cover the text, whatever the pattern."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from bpe.pretokenize import iterate_pretokens, split_pretokens

# With gaps, with groups, with empty matches.
EXPRESSIONS = [r"\w+", r"(a)(b)?|\s", r"a*", r"", r"(?=a)", r"[^ab]+|ab"]


@pytest.mark.parametrize("expression", EXPRESSIONS)
@given(text=st.text("ab cé\n"))
def test_pretokens_joined_are_the_text(expression: str, text: str) -> None:
    assert "".join(split_pretokens(regex.compile(expression), text)) == text


@pytest.mark.parametrize("expression", EXPRESSIONS)
@given(text=st.text("ab cé\n"))
def test_no_pretoken_is_empty(expression: str, text: str) -> None:
    assert all(split_pretokens(regex.compile(expression), text))


@pytest.mark.parametrize("expression", EXPRESSIONS)
@given(text=st.text("ab cé\n"))
def test_list_and_iterator_agree(expression: str, text: str) -> None:
    pattern = regex.compile(expression)
    assert split_pretokens(pattern, text) == list(iterate_pretokens(pattern, text))


def test_what_the_pattern_skips_is_a_pretoken() -> None:
    assert split_pretokens(regex.compile(r"\d+"), "ab12cd3") == ["ab", "12", "cd", "3"]


def test_groups_do_not_change_the_pretokens() -> None:
    assert split_pretokens(regex.compile(r"(a)(b)|c"), "abcab") == ["ab", "c", "ab"]
