"""A small trained vocabulary and its tokenizer."""

from pathlib import Path

import pytest
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
def saved(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(directory)
    return directory
