"""A pipe, which has no size and can be read once only, gives what its file gives."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bpe_reference import SPECIALS

from bpe import Tokenizer, train_bpe
from bpe.count_files import count_files
from bpe.engines import Engine
from bpe.kernels.counting import KernelCounts

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]
ENGINES = ("reference", "kernels")
BROKEN = b"seven b\n" * 100_003 + b"\xff seven"
MESSAGE = r"pipe: invalid byte 0xff at offset 800,024 \(line 100,004\)"


@contextlib.contextmanager
def piped(path: Path, data: bytes) -> Iterator[Path]:
    """Make a pipe with a name, into which `data` goes as it is read."""
    os.mkfifo(path)

    def write() -> None:
        # Whoever finds a bad byte reads no further.
        with contextlib.suppress(BrokenPipeError), path.open("wb") as file:
            file.write(data)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield path
    writer.join()


@pytest.mark.parametrize("engine", ENGINES)
def test_merges_of_a_pipe_are_those_of_its_file(
    trained: Trained, corpus: str, engine: Engine, tmp_path: Path
) -> None:
    with piped(tmp_path / "pipe", corpus.encode()) as path:
        assert train_bpe(path, 769, SPECIALS, engine=engine, chunk_bytes=4099) == trained


def test_a_pipe_is_counted_by_the_kernels(corpus: str, tmp_path: Path) -> None:
    with piped(tmp_path / "pipe", corpus.encode()) as path:
        assert isinstance(count_files([path], SPECIALS, engine="auto"), KernelCounts)


@pytest.mark.parametrize("engine", ENGINES)
def test_ids_of_a_pipe_are_those_of_its_file(
    trained: Trained, corpus: str, engine: Engine, tmp_path: Path
) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, engine=engine)
    with piped(tmp_path / "pipe", corpus.encode() * 17) as path:
        tokenizer.encode_file(path, tmp_path / "ids.npy")
    assert np.load(tmp_path / "ids.npy").tolist() == tokenizer.encode(corpus * 17)


def test_a_pipe_is_encoded_by_the_kernels(trained: Trained, tmp_path: Path) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS)
    with piped(tmp_path / "pipe", b"whose key") as path:
        tokenizer.encode_file(path, tmp_path / "ids.npy")
    assert tokenizer._encoder.kernels is not None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bad_byte_in_a_pipe_is_named_in_training(engine: Engine, tmp_path: Path) -> None:
    with (
        piped(tmp_path / "pipe", BROKEN) as path,
        pytest.raises(ValueError, match=MESSAGE),
    ):
        train_bpe(path, 257, [], engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bad_byte_in_a_pipe_is_named_in_encoding(
    trained: Trained, engine: Engine, tmp_path: Path
) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, engine=engine)
    with (
        piped(tmp_path / "pipe", BROKEN) as path,
        pytest.raises(ValueError, match=MESSAGE),
    ):
        tokenizer.encode_file(path, tmp_path / "ids.npy")
