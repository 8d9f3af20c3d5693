"""The kernels read files, and name what is wrong in a text, as the reference does."""

from pathlib import Path

import numpy as np
import pytest
from bpe_reference import SPECIALS

from bpe.engines import Engine
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


@pytest.fixture(scope="module")
def reference(trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS, engine="reference")


@pytest.mark.parametrize("engine", ["reference", "kernels"])
def test_a_lone_surrogate_is_named_with_its_index(trained: Trained, engine: Engine) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, engine=engine)
    for prefix in ["ab", "é" * 70_001]:
        with pytest.raises(ValueError, match=rf"U\+D800 at index {len(prefix)}$"):
            tokenizer.encode(prefix + "\ud800 cd")
        with pytest.raises(ValueError, match=rf"U\+D800 at index {len(prefix)}$"):
            tokenizer.encode_array(prefix + "\ud800 cd")
        replaced = tokenizer.encode(prefix + "\ud800 cd", errors="replace")
        assert replaced == tokenizer.encode(prefix + "\ufffd cd")


@pytest.mark.parametrize("engine", ["reference", "kernels"])
def test_the_text_of_a_batch_that_is_wrong_is_named(trained: Trained, engine: Engine) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, engine=engine)
    batch = ["one", "two", "thr\udc80ee"]
    with pytest.raises(ValueError, match=r"^text 2 of the batch: .* U\+DC80 at index 3$"):
        tokenizer.encode_batch(batch)
    assert tokenizer.encode_batch(batch, errors="replace")[2] == tokenizer.encode("thr\ufffdee")
    with pytest.raises(TypeError, match="text 1 of the batch is a bytes, not a str"):
        tokenizer.encode_batch(["one", b"two"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="errors"):
        tokenizer.encode_batch(batch, errors="ignore")


def test_bad_arguments_are_refused(kernels: Tokenizer) -> None:
    with pytest.raises(ValueError, match="errors"):
        kernels.encode("a", errors="ignore")
    with pytest.raises(ValueError, match="errors"):
        kernels.encode_array("a", errors="ignore")
    with pytest.raises(ValueError, match="allowed_special"):
        kernels.encode("a", allowed_special=["<|absent|>"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_byte_that_is_not_utf8_is_named_as_by_the_reference(
    kernels: Tokenizer, reference: Tokenizer, tmp_path: Path, workers: int
) -> None:
    good = ("na\u00efve text \u4e2d\n" * 40_009).encode()
    path = tmp_path / "bad.txt"
    path.write_bytes(good + b"bad \xc3( here" + good)
    with pytest.raises(ValueError, match=r"0xc3 at offset .* \(line 40,010\)") as expected:
        reference.encode_file(path, tmp_path / "a")
    with pytest.raises(ValueError, match="0xc3") as found:
        kernels.encode_file(path, tmp_path / "a", workers=workers)
    assert str(found.value) == str(expected.value)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.txt"]


@pytest.mark.parametrize(
    "data", [b"", b"a", b"\xff", "é".encode()[:1], b"ab \xff\xfe c \xe4" * 101]
)
def test_replaced_bytes_are_encoded_and_counted_as_by_the_reference(
    kernels: Tokenizer, reference: Tokenizer, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    expected = reference.encode_file(path, tmp_path / "a", errors="replace")
    found = kernels.encode_file(path, tmp_path / "b", errors="replace")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert found.num_replacements == expected.num_replacements
    assert found.num_bytes == expected.num_bytes == len(data)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_file_of_many_chunks_is_encoded_in_order(
    kernels: Tokenizer, corpus: str, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "text.txt"
    text = corpus * 67 + "<|endoftext|>"
    path.write_bytes(text.encode())
    steps: list[tuple[int, int]] = []
    found = kernels.encode_file(
        path, tmp_path / "a", workers=workers, progress=lambda *step: steps.append(step)
    )
    assert np.load(tmp_path / "a.npy").tolist() == kernels.encode(text)
    size = path.stat().st_size
    assert found.num_bytes == size
    assert steps == sorted(steps)
    assert len(steps) >= 3
    assert steps[-1] == (size, size)


def test_a_missing_file_is_named(kernels: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        kernels.encode_file(tmp_path / "absent.txt", tmp_path / "a")
