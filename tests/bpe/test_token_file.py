"""Token files: whole or absent, and refused with a reason when damaged."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from bpe_reference import SPECIALS

from bpe.token_file import read_token_file, token_dtype
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


def test_a_token_file_holds_the_ids_of_the_text(
    tokens: Path, source: Path, tokenizer: Tokenizer
) -> None:
    expected = tokenizer.encode(source.read_bytes().decode())
    assert np.load(tokens, mmap_mode="r").tolist() == expected
    assert read_token_file(tokens)[0].tolist() == expected


def test_the_array_cannot_be_written_through(tokens: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_token_file(tokens)[0][0] = 1


def test_the_sidecar_says_what_the_file_holds(
    tokens: Path, source: Path, tokenizer: Tokenizer
) -> None:
    fields = json.loads(tokens.with_name("train.npy.json").read_text())
    assert fields == {
        "format": 1,
        "tokenizer_sha256": tokenizer.sha256,
        "vocab_size": 769,
        "num_tokens": len(np.load(tokens)),
        "dtype": "uint16",
        "sha256": hashlib.sha256(tokens.read_bytes()).hexdigest(),
        "source": str(source),
    }


def test_the_report_counts_tokens_and_bytes(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "a.txt").write_bytes(b"the old man")
    report = tokenizer.encode_file(tmp_path / "a.txt", tmp_path / "a")
    assert report.path == tmp_path / "a.npy"
    assert (report.num_tokens, report.num_bytes, report.num_replacements) == (
        len(tokenizer.encode("the old man")),
        11,
        0,
    )


def test_large_vocabularies_take_uint32(tmp_path: Path, source: Path, trained: Trained) -> None:
    tokenizer = Tokenizer(*trained, {**dict.fromkeys(SPECIALS[:1], 0), "\ufeff": 70_000})
    path = tokenizer.encode_file(source, tmp_path / "wide.npy").path
    ids = np.load(path)
    assert ids.dtype == np.uint32
    assert ids[-1] == 70_000
    assert token_dtype(65_536) == np.uint16


def test_an_empty_text_makes_a_file_without_tokens(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "empty.txt").touch()
    path = tokenizer.encode_file(tmp_path / "empty.txt", tmp_path / "empty.npy").path
    assert len(np.load(path)) == len(read_token_file(path)[0]) == 0


def test_progress_runs_to_the_size_of_the_file(
    tmp_path: Path, source: Path, tokenizer: Tokenizer
) -> None:
    calls: list[tuple[int, int]] = []
    size = source.stat().st_size
    tokenizer.encode_file(
        source, tmp_path / "a.npy", progress=lambda done, total: calls.append((done, total))
    )
    assert calls[-1] == (size, size)
    assert calls == sorted(calls)


def test_a_second_encoding_replaces_the_first_with_the_same_bytes(
    tokens: Path, source: Path, tokenizer: Tokenizer
) -> None:
    first = tokens.read_bytes()
    tokenizer.encode_file(source, tokens)
    assert tokens.read_bytes() == first
    assert sorted(p.name for p in tokens.parent.iterdir()) == [
        "corpus.txt",
        "train.npy",
        "train.npy.json",
    ]
