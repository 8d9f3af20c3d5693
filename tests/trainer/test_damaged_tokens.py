"""Damaged token files are refused before step 1: by name, with what was expected and found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import byte_tokenizer, small_config

from bpe.token_file import token_dtype, write_token_file
from trainer.config import TrainConfig
from trainer.prepared import open_prepared

COUNT = 331


def write(path: Path, ids: Any, vocab_size: int = 257, sha256: str | None = None) -> None:
    write_token_file(
        path,
        [np.asarray(ids, dtype=token_dtype(vocab_size))],
        tokenizer_sha256=sha256 or byte_tokenizer().sha256,
        vocab_size=vocab_size,
        source="text",
    )


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    byte_tokenizer().save(tmp_path / "tokenizer")
    for name in ("train.npy", "valid.npy"):
        write(tmp_path / name, np.arange(COUNT) % 257)
    return tmp_path


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(path.read_bytes()[:size]))


def longer(size: int) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(path.read_bytes() + bytes(size)))


def put(place: int, content: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        whole = bytearray(path.read_bytes())
        whole[place : place + len(content)] = content
        path.write_bytes(whole)

    return change


def array(content: Any) -> Callable[[Path], None]:
    return lambda path: np.save(path, content)


def sidecar(**fields: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        place = path.with_name(path.name + ".json")
        place.write_text(json.dumps(json.loads(place.read_text()) | fields))

    return change


def of_another(path: Path) -> None:
    write(path, np.arange(COUNT) % 257, sha256="0" * 64)


def of_a_larger_vocabulary(path: Path) -> None:
    write(path, np.arange(COUNT) % 257, vocab_size=300)


def void(_: object) -> None:
    """Forget a value."""


HEADER, SIZE = 128, 128 + 2 * COUNT
DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (cut(0), "not a .npy array: 0 bytes"),
    "part of the header": (cut(9), "not a .npy array: 9 bytes"),
    "header cut": (cut(HEADER - 1), "not a .npy array: 127 bytes"),
    "header alone": (cut(HEADER), f"is 128 bytes long, but 331 tokens of uint16 need {SIZE}"),
    "odd length": (
        cut(SIZE - 1),
        f"is {SIZE - 1} bytes long, but 331 tokens of uint16 need {SIZE}",
    ),
    "one token short": (cut(SIZE - 2), f"is {SIZE - 2} bytes long, but 331 tokens"),
    "half": (cut(SIZE // 2), f"is {SIZE // 2} bytes long, but 331 tokens"),
    "odd and longer": (longer(1), f"is {SIZE + 1} bytes long, but 331 tokens"),
    "one token longer": (longer(2), f"is {SIZE + 2} bytes long, but 331 tokens"),
    "text": (lambda path: void(path.write_text("hello")), "which begin b'hello'"),
    "zeros": (lambda path: void(path.write_bytes(bytes(SIZE))), "not a .npy array"),
    "signed": (array(np.zeros(7, np.int16)), "holds '<i2', not uint16"),
    "64 bits": (array(np.zeros(7, np.int64)), "holds '<i8', not uint16"),
    "8 bits": (array(np.zeros(7, np.uint8)), "holds '|u1', not uint16"),
    "floats": (array(np.zeros(7, np.float32)), "holds '<f4', not uint16"),
    "big endian": (array(np.zeros(7, ">u2")), "holds '>u2', not uint16"),
    "two axes": (array(np.zeros((7, 5), np.uint16)), "has the shape (7, 5), not one axis"),
    "no axis": (array(np.uint16(7)), "has the shape (), not one axis"),
    "uint32 where uint16 is said": (
        array(np.zeros(COUNT, np.uint32)),
        "dtype is uint32, but its sidecar says uint16",
    ),
    "other number of tokens": (
        array(np.zeros(7, np.uint16)),
        "num_tokens is 7, but its sidecar says 331",
    ),
    "first id too large": (
        put(HEADER, b"\x01\x01"),
        "token id 257 at position 0 (byte 128) is outside 0..256",
    ),
    "last id too large": (
        put(SIZE - 2, b"\xff\xff"),
        f"token id 65535 at position 330 (byte {SIZE - 2}) is outside 0..256",
    ),
    "flipped bit": (put(HEADER + 8, b"\x05"), "SHA-256 is"),
    "page of zeros": (put(HEADER + 100, bytes(200)), "SHA-256 is"),
    "another tokenizer": (of_another, "encoded by tokenizer 000000000000, not by"),
    "larger vocabulary": (of_a_larger_vocabulary, "encoded with vocab_size 300, more than 257"),
    "sidecar of another file": (sidecar(sha256="0" * 64), "its sidecar says 000000000000"),
    "sidecar of another count": (sidecar(num_tokens=5), "its sidecar says 5"),
    "sidecar of another type": (sidecar(dtype="uint32"), "its sidecar says uint32"),
    "no sidecar": (
        lambda path: path.with_name(path.name + ".json").unlink(),
        "its sidecar train.npy.json is missing",
    ),
}


def test_there_are_thirty_kinds_of_damage() -> None:
    assert len(DAMAGE) == 30


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_tokens_are_refused_with_file_and_value(prepared: Path, kind: str) -> None:
    damage, words = DAMAGE[kind]
    path = prepared / "train.npy"
    damage(path)
    with pytest.raises(ValueError, match=r"train\.npy") as caught:
        open_prepared(prepared)
    assert words in str(caught.value)


def test_too_few_tokens_are_refused_with_both_numbers(prepared: Path) -> None:
    write(prepared / "valid.npy", np.arange(13))
    config: TrainConfig = small_config()
    with pytest.raises(ValueError, match=r"valid\.npy: 13 tokens .*context_length \+ 1 = 18"):
        open_prepared(prepared).check_context(config.model.context_length)


def test_large_vocabulary_takes_four_bytes_and_wraps_nothing(tmp_path: Path) -> None:
    assert token_dtype(65_536) == np.uint16
    assert token_dtype(65_537) == np.uint32
    with pytest.raises((TypeError, OverflowError)):
        write_token_file(
            tmp_path / "train.npy",
            [np.array([70_000], dtype=np.uint32)],
            tokenizer_sha256="0" * 64,
            vocab_size=65_536,
            source="text",
        )
