"""A token file that is damaged, or belongs to something else, is refused by name."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bpe.token_file import TokenFileError, read_sidecar, read_token_file


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _save(array: NDArray[Any], path: Path) -> None:
    np.save(path, array)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "not a .npy array: 0 bytes"),
    "text": (lambda p: p.write_bytes(b"hello"), "not a .npy array: 5 bytes"),
    "only the header": (lambda p: p.write_bytes(p.read_bytes()[:128]), "truncated"),
    "half the header": (lambda p: p.write_bytes(p.read_bytes()[:60]), "not a .npy array"),
    "truncated": (_truncate, "truncated"),
    "an odd byte less": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "truncated"),
    "an odd byte more": (lambda p: p.write_bytes(p.read_bytes() + b"x"), "damaged"),
    "int64": (lambda p: _save(np.arange(5), p), "holds '<i8', not uint16"),
    "float": (lambda p: _save(np.ones(5, np.float32), p), "holds '<f4', not uint16"),
    "big-endian": (lambda p: _save(np.ones(5, ">u2"), p), "holds '>u2', not uint16"),
    "two axes": (lambda p: _save(np.ones((2, 3), np.uint16), p), "has the shape \\(2, 3\\)"),
    "no axis": (lambda p: _save(np.array(3, np.uint16), p), "has the shape \\(\\)"),
    "objects": (lambda p: _save(np.array([{}], dtype=object), p), "holds '\\|O'"),
    "another array": (lambda p: _save(np.ones(5, np.uint16), p), "num_tokens is 5, but its"),
    "no sidecar": (lambda p: p.with_name("train.npy.json").unlink(), "sidecar .* is missing"),
    "text as sidecar": (lambda p: p.with_name("train.npy.json").write_text("hi"), "not JSON"),
    "list as sidecar": (lambda p: p.with_name("train.npy.json").write_text("[]"), "the fields"),
    "wrong field": (
        lambda p: p.with_name("train.npy.json").write_text(
            p.with_name("train.npy.json").read_text().replace(": 769", ': "769"')
        ),
        "vocab_size is '769'",
    ),
    "later format": (
        lambda p: p.with_name("train.npy.json").write_text(
            p.with_name("train.npy.json").read_text().replace('format": 1', 'format": 2')
        ),
        "format is 2",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_token_file_is_refused_by_name(tokens: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    damage(tokens)
    with pytest.raises(TokenFileError, match=message) as error:
        read_token_file(tokens, verify=False)
    assert str(error.value).startswith(str(tokens))
    assert "\n" not in str(error.value)


def test_a_token_id_beyond_the_vocabulary_is_named_with_its_place(tokens: Path) -> None:
    data = bytearray(tokens.read_bytes())
    data[128 + 2 * 101 : 128 + 2 * 102] = (50_000).to_bytes(2, "little")
    tokens.write_bytes(data)
    with pytest.raises(
        TokenFileError, match=r"50000 at position 101 \(byte 330\) is outside 0\.\.768"
    ):
        read_token_file(tokens)


def test_a_file_of_another_tokenizer_is_refused(tokens: Path) -> None:
    with pytest.raises(TokenFileError, match="encoded by tokenizer"):
        read_token_file(tokens, tokenizer_sha256="0" * 64)


def test_a_file_of_a_larger_vocabulary_is_refused(tokens: Path) -> None:
    with pytest.raises(TokenFileError, match="vocab_size 769, more than 768"):
        read_token_file(tokens, vocab_size=768)


def test_every_flipped_bit_is_found(tokens: Path) -> None:
    whole = tokens.read_bytes()
    source = random.Random(11)
    for at in [*range(128), *(source.randrange(128, len(whole)) for _ in range(101))]:
        data = bytearray(whole)
        data[at] ^= 1 << source.randrange(8)
        tokens.write_bytes(data)
        with pytest.raises(TokenFileError):
            read_token_file(tokens)


def test_every_mutation_of_a_sidecar_is_refused_or_harmless(tokens: Path) -> None:
    place = tokens.with_name("train.npy.json")
    whole = place.read_bytes()
    good = read_sidecar(tokens)
    source = random.Random(13)
    for _ in range(307):
        data = bytearray(whole)
        for _ in range(source.randrange(1, 5)):
            data[source.randrange(len(data))] = source.randrange(256)
        place.write_bytes(
            data[: source.randrange(len(data) + 1)] if source.random() < 0.3 else data
        )
        try:
            found = read_token_file(tokens, vocab_size=769)[1]
        except TokenFileError:
            continue
        # What only describes the file may differ; what it holds may not.
        assert (found.num_tokens, found.dtype, found.sha256) == (
            good.num_tokens,
            good.dtype,
            good.sha256,
        )
