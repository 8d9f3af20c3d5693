"""Make what all libraries are measured on: the corpus, one tokenizer, and ten million ids.

    python benchmarks/tokenizer_prepare.py FOLDER [--corpus FILE]

A process of its own: the memory of the one that starts the measurements would count in theirs.
"""

import argparse
from pathlib import Path

import numpy as np
from tokenizer_corpus import SEPARATOR, gather

from bpe import Tokenizer, train_bpe

LEAST_BYTES = 150_000_000
# Peers that encode less than the whole corpus: megabytes.
PARTS = {"tiktoken": 32, "tokenizers": 8, "small": 50}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corpus", type=Path)
    options = parser.parse_args()
    folder: Path = options.folder
    corpus = options.corpus or folder / "corpus.txt"
    if not options.corpus:
        gather(corpus, LEAST_BYTES)
    for name, megabytes in PARTS.items():
        _write_part(corpus, folder / f"{name}.txt", megabytes * 10**6)

    vocab, merges = train_bpe(corpus, 32_000, [SEPARATOR], engine="kernels")
    tokenizer = Tokenizer(vocab, merges, [SEPARATOR], engine="kernels")
    tokenizer.save(folder / "tokenizer")
    tokenizer.to_huggingface(folder / "tokenizer" / "tokenizer.json")
    ids = tokenizer.encode_array((folder / "small.txt").read_text(encoding="utf-8"))
    np.save(folder / "ids.npy", np.resize(ids, 10_000_000))


def _write_part(corpus: Path, destination: Path, num_bytes: int) -> None:
    """Write the first documents of the corpus, about so many bytes."""
    with corpus.open("rb") as file:
        data = file.read(num_bytes)
    if len(data) == num_bytes:
        end = data.rfind(SEPARATOR.encode())
        data = data[: end + len(SEPARATOR)] if end >= 0 else data
    destination.write_bytes(data.decode("utf-8", "ignore").encode())


if __name__ == "__main__":
    main()
