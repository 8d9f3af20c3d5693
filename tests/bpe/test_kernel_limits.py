"""No text is slow for the kernels, and none takes much memory."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bpe_reference import SPECIALS

from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]

_MEGABYTE = 1_000_003

_HARD: dict[str, str] = {
    "letter": "a" * _MEGABYTE,
    "capital": "Q" * _MEGABYTE,
    "spaces": " " * _MEGABYTE,
    "newlines": "\n" * _MEGABYTE,
    "crlf": "\r\n" * (_MEGABYTE // 2),
    "tabs": "\t" * _MEGABYTE,
    "emoji": "\U0001f600" * (_MEGABYTE // 4),
    "digits": "7" * _MEGABYTE,
    "pairs": "ab" * (_MEGABYTE // 2),
    "word": "".join(random.Random(2).choices("etaoinshr", k=_MEGABYTE)),
    "marks": "e" + "\u0301" * (_MEGABYTE // 2),
    "punctuation": "=" * _MEGABYTE,
    "nul": "\x00" * _MEGABYTE,
    "half special": "<|endoftext" * (_MEGABYTE // 11),
    "specials": "<|endoftext|>" * (_MEGABYTE // 13),
    "apostrophes": "'" * _MEGABYTE,
}


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k"])
def test_no_input_is_slow(trained: Trained, pattern: str) -> None:
    # Runs of one letter merge into ever longer tokens.
    merges = trained[1] + [(b"a" * 2**n, b"a" * 2**n) for n in range(1, 7)]
    merges = [*dict.fromkeys([(b"a", b"a"), *merges])]
    vocab = dict(enumerate(dict.fromkeys([*trained[0].values(), *(a + b for a, b in merges)])))
    tokenizer = Tokenizer(vocab, merges, SPECIALS, pattern=pattern, engine="kernels")
    for name, text in _HARD.items():
        start = time.process_time()
        ids = tokenizer.encode_array(text)
        seconds = time.process_time() - start
        assert tokenizer.decode_bytes(ids) == text.encode(), name
        assert seconds < 5, name


_ON_ONE_LINE = """
import json, random, resource, sys
from pathlib import Path
from bpe import Tokenizer, train_bpe
from bpe.kernels import library
source = random.Random(11)
words = ["".join(source.choices("etaoinshrdlu", k=source.randint(1, 9))) for _ in range(9973)]
block = " ".join(words).encode()
path, size = Path(sys.argv[1]), int(sys.argv[2])
with path.open("wb") as file:
    while file.tell() < size:
        file.write(block)
library.load("training"), library.load("tokenizer"), library.class_table()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
vocab, merges = train_bpe(path, 509, [], engine="kernels", workers=2)
trained = peak()
tokenizer = Tokenizer(vocab, merges, engine="kernels")
encoded = tokenizer.encode_file(path, path.with_suffix(".npy"), workers=2)
print(json.dumps([trained - before, peak() - before, encoded.num_bytes, path.stat().st_size]))
"""


@pytest.mark.parametrize(
    "size", [96 << 20, pytest.param(2 << 30, marks=pytest.mark.long)], ids=["96 MB", "2 GB"]
)
def test_a_file_of_one_line_takes_bounded_memory(size: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ON_ONE_LINE, str(tmp_path / "line.txt"), str(size)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for path in tmp_path.iterdir():
        path.unlink()
    training, encoding, num_bytes, file_size = json.loads(output)
    assert num_bytes == file_size >= size
    assert training < 64
    assert encoding < 96
