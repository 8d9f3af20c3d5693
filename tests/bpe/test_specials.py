"""Special tokens are found from left to right, the longest first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpe.specials import compile_specials, split_on_specials

texts = st.text("ab<|>é")
special_lists = st.lists(st.text("ab<|>é", min_size=1, max_size=4), max_size=5, unique=True)


def naive_split(text: str, specials: list[str]) -> list[tuple[str, bool]]:
    pieces: list[tuple[str, bool]] = []
    start = position = 0
    while position < len(text):
        here = [special for special in specials if text.startswith(special, position)]
        if not here:
            position += 1
            continue
        if position > start:
            pieces.append((text[start:position], False))
        pieces.append((max(here, key=len), True))
        start = position = position + len(pieces[-1][0])
    if position > start:
        pieces.append((text[start:], False))
    return pieces


@given(texts, special_lists)
def test_split_equals_a_scan_of_every_position(text: str, specials: list[str]) -> None:
    assert list(split_on_specials(text, specials)) == naive_split(text, specials)


@given(texts, special_lists)
def test_pieces_joined_are_the_text(text: str, specials: list[str]) -> None:
    assert "".join(piece for piece, _ in split_on_specials(text, specials)) == text


@given(texts, special_lists)
def test_no_special_is_left_in_an_ordinary_piece(text: str, specials: list[str]) -> None:
    ordinary = [piece for piece, is_special in split_on_specials(text, specials) if not is_special]
    assert not any(special in piece for piece in ordinary for special in specials)


@pytest.mark.parametrize("specials", [["<e>", "<e><e>"], ["<e><e>", "<e>"]])
def test_longest_special_wins_in_any_order(specials: list[str]) -> None:
    assert list(split_on_specials("a<e><e><e>", specials)) == [
        ("a", False),
        ("<e><e>", True),
        ("<e>", True),
    ]


def test_special_is_taken_literally() -> None:
    assert list(split_on_specials("a.b+", [".b+"])) == [("a", False), (".b+", True)]


def test_text_without_specials_is_one_piece() -> None:
    assert list(split_on_specials("one two", [])) == [("one two", False)]


def test_empty_text_has_no_pieces() -> None:
    assert list(split_on_specials("", ["<e>"])) == []


def test_expression_without_specials_finds_nothing() -> None:
    assert compile_specials([]).search("any text") is None


@pytest.mark.parametrize(
    ("specials", "message"),
    [
        (["<e>", ""], "special token 1 is the empty string"),
        (["<e>", "<f>", "<e>"], "special token '<e>' is given twice"),
        ("<e>", r"wrap the one: \['<e>'\]"),
    ],
)
def test_bad_list_of_specials_is_refused(specials: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_specials(specials)
