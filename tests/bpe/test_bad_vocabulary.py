"""A vocabulary, special tokens or a pattern that cannot be: one line that says what and where."""

import pytest

from bpe.tokenizer import Tokenizer
from bpe.vocabulary import VocabularyError

Vocab = dict[int, bytes]
Merges = list[tuple[bytes, bytes]]


def bytes_and(*tokens: bytes) -> Vocab:
    return {byte: bytes([byte]) for byte in range(256)} | dict(enumerate(tokens, start=256))


VOCABULARIES: dict[str, tuple[Vocab, Merges, str]] = {
    "gap": (bytes_and() | {300: b"ab"}, [], "vocab has no id 256, though its ids run to 300"),
    "duplicate": (bytes_and(b"ab", b"ab"), [], "vocab ids 256 and 257 are the same token b'ab'"),
    "missing byte": (
        {i: t for i, t in bytes_and().items() if i != 65},
        [],
        "vocab has no token for byte 0x41",
    ),
    "negative id": ({**bytes_and(), -1: b"ab"}, [], r"vocab id -1 is not in 0\.\.2\*\*32 - 1"),
    "id of a float": ({**bytes_and(), 1.5: b"ab"}, [], "vocab id 1.5 is not an integer"),  # type: ignore[dict-item]
    "text as token": ({**bytes_and(), 256: "ab"}, [], "vocab id 256 is 'ab', not a token"),  # type: ignore[dict-item]
    "empty token": (bytes_and(b""), [], "vocab id 256 is b'', not a token"),
    "merge out of vocabulary": (
        bytes_and(b"ab"),
        [(b"a", b"b"), (b"ab", b"c")],
        "merge 1 of b'ab' and b'c' needs the token b'abc', which is not in the vocab",
    ),
    "side out of vocabulary": (
        bytes_and(b"abc"),
        [(b"ab", b"c")],
        "merge 0 of b'ab' and b'c' needs the token b'ab'",
    ),
    "repeated merge": (
        bytes_and(b"ab", b"bc"),
        [(b"a", b"b"), (b"b", b"c"), (b"a", b"b")],
        "merge 2 of b'a' and b'b' repeats merge 0",
    ),
    "merge of three": (bytes_and(), [(b"a", b"b", b"c")], "merge 0 is .* not a pair"),  # type: ignore[list-item]
    "merge of numbers": (bytes_and(), [(97, 98)], "merge 0"),  # type: ignore[list-item]
}


@pytest.mark.parametrize("kind", VOCABULARIES)
def test_a_vocabulary_that_does_not_hold_together_is_refused(kind: str) -> None:
    vocab, merges, message = VOCABULARIES[kind]
    with pytest.raises(VocabularyError, match=message) as error:
        Tokenizer(vocab, merges)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("specials", "message"),
    [
        ("<|a|>", "list of strings"),
        (["<|a|>", "<|a|>"], "given twice"),
        (["<|a|>", ""], "empty"),
        ([b"<|a|>"], "b'<|a|>' is a bytes, not a string"),
        (["\ud800"], "lone surrogate"),
        ({"<|a|>": 97}, "'<|a|>' cannot have id 97, which is b'a'"),
        ({"<|a|>": -1}, "'<|a|>' has id -1"),
    ],
)
def test_bad_special_tokens_are_refused(specials: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        Tokenizer(bytes_and(), [], specials)


@pytest.mark.parametrize("pattern", ["gpt3", "(", ""])
def test_bad_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Tokenizer(bytes_and(), [], pattern=pattern)


def test_a_list_is_no_vocabulary() -> None:
    with pytest.raises(ValueError, match="vocab is a list, not a mapping"):
        Tokenizer([b"a"], [])  # type: ignore[arg-type]
