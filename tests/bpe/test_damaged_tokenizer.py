"""Damaged files of a tokenizer: one line with the file and the line, or the same tokenizer."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bpe.tokenizer import Tokenizer


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
