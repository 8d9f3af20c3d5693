"""Bad vocabularies, files, texts and ids: one line that says what, where and what was expected."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bpe_reference import SPECIALS

from bpe.tokenizer import Tokenizer
from bpe.vocabulary import VocabularyError

Vocab = dict[int, bytes]
Merges = list[tuple[bytes, bytes]]
Trained = tuple[Vocab, Merges]


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


# Files


def _drop_line(text: str, number: int) -> str:
    lines = text.split("\n")
    return "\n".join(lines[: number - 1] + lines[number:])


def _insert_line(text: str, number: int, line: str) -> str:
    lines = text.split("\n")
    return "\n".join([*lines[: number - 1], line, *lines[number - 1 :]])


# Line 5 of vocab.json holds id 3 (the byte 0x00), line 102 the letter a.
FILES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a byte is missing": (
        "vocab.json",
        lambda text: _drop_line(text, 5),
        "vocab.json: vocab has no token for byte 0x00",
    ),
    "a token is there twice": (
        "vocab.json",
        lambda text: _insert_line(text, 200, '"a": 4000,'),
        "vocab.json, line 200: 'a' stands there twice",
    ),
    "an id is there twice": (
        "vocab.json",
        lambda text: _insert_line(text, 200, '"aaa": 8,'),
        "vocab.json, line 200: 'aaa' has id 8, which",
    ),
    "an id leaves a gap": (
        "vocab.json",
        lambda text: _insert_line(text, 200, '"aaa": 4000,'),
        "vocab.json: vocab has no id 769, though its ids run to 4000",
    ),
    "a token is spelled wrong": (
        "vocab.json",
        lambda text: _insert_line(text, 200, '"東": 769,'),
        "vocab.json, line 200: '東' has '東', which spells no byte",
    ),
    "an id is text": (
        "vocab.json",
        lambda text: _insert_line(text, 200, '"aaa": "x",'),
        "vocab.json, line 200: the id of 'aaa' is 'x'",
    ),
    "a vocabulary that is a list": (
        "vocab.json",
        lambda _: "[1, 2]",
        "vocab.json: not an object of token to id",
    ),
    "a vocabulary that is no JSON": ("vocab.json", lambda text: text[:-5], "vocab.json: not JSON"),
    "a merge out of vocabulary": (
        "merges.txt",
        lambda text: _insert_line(text, 7, "q q"),
        "merges.txt, line 7: .* needs the token b'qq', which is not in the vocab",
    ),
    "a merge of one token": (
        "merges.txt",
        lambda text: _insert_line(text, 7, "qq"),
        "merges.txt, line 7: 'qq' is not two tokens with one space between",
    ),
    "a merge with two spaces": (
        "merges.txt",
        lambda text: _insert_line(text, 7, "q  q"),
        "merges.txt, line 7: 'q  q' is not two tokens",
    ),
    "a merge spelled wrong": (
        "merges.txt",
        lambda text: _insert_line(text, 7, "q 東"),
        "merges.txt, line 7: '東' has '東', which spells no byte",
    ),
    "a merge that is there twice": (
        "merges.txt",
        lambda text: _insert_line(text, 9, text.split("\n")[3]),
        "merges.txt, line 9: .* repeats merge 2",
    ),
    "a merge is missing": (
        "merges.txt",
        lambda text: _drop_line(text, 300),
        "do not belong together",
    ),
    "special tokens are a list": (
        "special_tokens.json",
        lambda _: "[]",
        "special_tokens.json: the fields are not",
    ),
    "an unknown pattern": (
        "special_tokens.json",
        lambda text: text.replace('"gpt2"', '"gpt3"'),
        "did you mean 'gpt2'",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_tokenizer_is_refused_with_file_and_line(
    tmp_path: Path, tokenizer: Tokenizer, kind: str
) -> None:
    name, damage, message = FILES[kind]
    tokenizer.save(tmp_path)
    (tmp_path / name).write_text(damage((tmp_path / name).read_text()))
    with pytest.raises(ValueError, match=message) as error:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_utf8_is_named_with_the_offset(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_bytes(b'{"a\xff": 1}')
    with pytest.raises(ValueError, match=r"vocab\.json: invalid byte 0xff at offset 3"):
        Tokenizer.from_files(tmp_path / "vocab.json", saved / "merges.txt")


def test_a_directory_without_a_tokenizer_names_the_other_loaders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"from_files.*from_huggingface"):
        Tokenizer.load(tmp_path)


def mutate(source: random.Random, whole: bytes) -> bytes:
    """Change a few bytes, or cut the end off."""
    data = bytearray(whole)
    for _ in range(source.randrange(1, 4)):
        at = source.randrange(len(data))
        data[at : at + source.randrange(3)] = source.randbytes(source.randrange(3))
    return bytes(data[: source.randrange(len(data))] if source.random() < 0.1 else data)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "special_tokens.json"])
def test_every_mutation_of_a_saved_tokenizer_loads_alike_or_is_refused(
    tmp_path: Path, tokenizer: Tokenizer, name: str
) -> None:
    tokenizer.save(tmp_path)
    whole = (tmp_path / name).read_bytes()
    source = random.Random(name)
    for _ in range(211):
        (tmp_path / name).write_bytes(mutate(source, whole))
        message = ""
        try:
            assert Tokenizer.load(tmp_path).sha256 == tokenizer.sha256
        except ValueError as error:
            message = str(error)
        assert "\n" not in message


@pytest.mark.parametrize("kind", ["huggingface", "tiktoken"])
@pytest.mark.parametrize("count", [503, pytest.param(20_000, marks=pytest.mark.long)])
def test_every_mutation_of_a_foreign_file_is_a_tokenizer_or_refused(
    tmp_path: Path, tokenizer: Tokenizer, kind: str, count: int
) -> None:
    path = tmp_path / "file"
    getattr(tokenizer, f"to_{kind}")(path)
    whole = path.read_bytes()
    # The lines that are not one of many tokens deserve most of the changes.
    head = whole.index(b'"vocab"') + 300 if kind == "huggingface" else 300
    source = random.Random(kind)
    for _ in range(count):
        changed = mutate(source, whole[:head]) + whole[head:]
        path.write_bytes(changed if source.random() < 0.7 else mutate(source, whole))
        message = ""
        try:
            if kind == "huggingface":
                Tokenizer.from_huggingface(path).encode("the old man")
            else:
                Tokenizer.from_tiktoken(path, pattern="gpt2").encode("the old man")
        except ValueError as error:
            message = str(error)
        assert "\n" not in message


# Text


@pytest.mark.parametrize("at", [0, 5, 262_143, 262_144, 300_000])
def test_an_invalid_byte_is_named_with_offset_and_line(
    tmp_path: Path, tokenizer: Tokenizer, at: int
) -> None:
    data = bytearray(b"one\ntwo\n" * 50_000)
    data[at] = 0xFF
    (tmp_path / "corpus.txt").write_bytes(data)
    line = 1 + data[:at].count(b"\n")
    expected = f"invalid byte 0xff at offset {at:,} (line {line:,})"
    with pytest.raises(ValueError, match=r"corpus\.txt: invalid byte") as error:
        tokenizer.encode_file(tmp_path / "corpus.txt", tmp_path / "a.npy")
    assert expected in str(error.value)
    assert not (tmp_path / "a.npy").exists()


def test_a_character_cut_by_the_end_of_the_file_is_named(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    (tmp_path / "corpus.txt").write_bytes("a\n東京".encode()[:-1])
    with pytest.raises(ValueError, match=r"invalid byte 0xe4 at offset 5 \(line 2\)"):
        tokenizer.encode_file(tmp_path / "corpus.txt", tmp_path / "a.npy")


def test_replaced_bytes_are_counted(tmp_path: Path, tokenizer: Tokenizer) -> None:
    data = b"a\xffb\xe6\x9d c \xef\xbf\xbd d\xed\xa0\x80" + "東".encode() * 100_003 + b"\xf0\x9f"
    (tmp_path / "corpus.txt").write_bytes(data)
    report = tokenizer.encode_file(tmp_path / "corpus.txt", tmp_path / "a.npy", errors="replace")
    text = data.decode(errors="replace")
    assert np.load(report.path).tolist() == tokenizer.encode(text)
    assert report.num_replacements == text.count("\ufffd") - 1
    assert report.num_bytes == len(data)


@pytest.mark.parametrize("text", [b"bytes", 5, None])
def test_what_is_not_text_is_refused(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(TypeError, match="not a str"):
        tokenizer.encode(text)


# Ids


@pytest.mark.parametrize("token_id", [99999, -1, 1.5, 769, "a", None, float("nan"), 1.0])
def test_an_unknown_id_is_named_with_its_position(tokenizer: Tokenizer, token_id: int) -> None:
    with pytest.raises(ValueError, match=rf"token id {token_id} at position 2 is outside 0\.\.768"):
        tokenizer.decode([5, 6, token_id])


def test_an_unknown_numpy_id_is_named_with_its_position(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"token id 769 at position 1 is outside 0\.\.768"):
        tokenizer.decode(np.array([5, 769]))


def test_an_id_between_special_tokens_is_called_unused(trained: Trained) -> None:
    tokenizer = Tokenizer(*trained, {"<|far|>": 1009})
    with pytest.raises(ValueError, match="token id 1000 at position 0 is unused"):
        tokenizer.decode([1000])
    assert SPECIALS[0] not in tokenizer.special_tokens
