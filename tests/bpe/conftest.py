"""A small trained vocabulary and its tokenizer, and a directory for commands."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from bpe_command import TEXT
from bpe_reference import SPECIALS, make_corpus

from bpe.tokenizer import Tokenizer
from bpe.training import train_bpe

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


@pytest.fixture(scope="session")
def corpus() -> str:
    return make_corpus()


@pytest.fixture(scope="session")
def trained(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_bytes(corpus.encode())
    return train_bpe(path, 769, SPECIALS, workers=1)


@pytest.fixture(scope="session")
def tokenizer(trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS)


@pytest.fixture(scope="session")
def kernels(trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS, engine="kernels")


@pytest.fixture(scope="session")
def saved(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(directory)
    return directory


@pytest.fixture
def source(tmp_path: Path, corpus: str) -> Path:
    """Return a text file."""
    path = tmp_path / "corpus.txt"
    path.write_bytes((corpus[:30_011] + "<|endoftext|>\r\n\ufeff").encode())
    return path


@pytest.fixture
def tokens(tmp_path: Path, source: Path, tokenizer: Tokenizer) -> Path:
    """Return a token file of that text."""
    return tokenizer.encode_file(source, tmp_path / "train.npy").path


@pytest.fixture
def directory_with_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a directory with `corpus.txt`, and handle signals afterwards as before."""
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_bytes(TEXT.encode())
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def trained_here(directory_with_text: None) -> Tokenizer:
    """Make a tokenizer, saved as `tok` in that directory."""
    vocab, merges = train_bpe("corpus.txt", 283, ["<|endoftext|>"])
    tokenizer = Tokenizer(vocab, merges, ["<|endoftext|>"])
    tokenizer.save("tok")
    return tokenizer
