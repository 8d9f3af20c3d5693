"""Memory is bounded by what is distinct in a text, not by the text: nor by its lines."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

# One line of text without an end; each piece of a megabyte holds the same words.
WORDS = " ".join(f"word{number % 1009} and, {number % 211}" for number in range(90_000))
PIECE = WORDS.encode()[: 1 << 20]

COUNT = """
import sys
from bpe import count_pretokens
from bpe.peak_memory import peak_memory
found = count_pretokens(sys.argv[2], engine=sys.argv[1], workers=int(sys.argv[3]))
print(found.num_bytes, peak_memory() >> 20)
"""

ENCODE = """
import sys
from bpe import Tokenizer
from bpe.peak_memory import peak_memory
pairs = [(b"w", b"o"), (b"r", b"d"), (b"wo", b"rd"), (b"a", b"n"), (b"an", b"d"), (b" ", b"word")]
tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in pairs)]
tokenizer = Tokenizer(dict(enumerate(tokens)), pairs, engine=sys.argv[1])
written = tokenizer.encode_file(sys.argv[2], sys.argv[3] + "/ids.npy", workers=2)
print(written.num_bytes, peak_memory() >> 20)
"""


def run(script: str, *arguments: object) -> tuple[int, int]:
    """Return the bytes of text and the peak of memory, in MB."""
    words = [sys.executable, "-c", script, *map(str, arguments)]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    num_bytes, megabytes = map(int, output.split())
    return num_bytes, megabytes


def write_text(path: Path, num_pieces: int) -> None:
    with path.open("wb") as file:
        file.writelines(PIECE for _ in range(num_pieces))


def write_gzip(path: Path, num_pieces: int) -> None:
    # A file may have many members.
    path.write_bytes(gzip.compress(PIECE, 1) * num_pieces)


def write_zstd(path: Path, num_pieces: int) -> None:
    path.write_bytes(zstandard.compress(PIECE) * num_pieces)


def write_lines(path: Path, num_pieces: int) -> None:
    line = json.dumps({"text": PIECE.decode()[:20_011]}).encode() + b"\n"
    path.write_bytes(zstandard.compress(line * 53) * num_pieces)


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "a.txt": write_text,
    "a.txt.gz": write_gzip,
    "a.txt.zst": write_zstd,
    "a.jsonl.zst": write_lines,
}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("script", [COUNT, ENCODE], ids=["count", "encode"])
def test_kernels_take_no_more_memory_for_more_text(directory: Path, name: str, script: str) -> None:
    peaks = []
    for num_pieces in (13, 41):
        WRITERS[name](directory / name, num_pieces)
        last = 2 if script == COUNT else directory
        num_bytes, megabytes = run(script, "kernels", directory / name, last)
        assert num_bytes > num_pieces * 1_000_000
        peaks.append(megabytes)
    # The smaller text is larger than all buffers.
    assert peaks[1] - peaks[0] < 10


@pytest.mark.parametrize("script", [COUNT, ENCODE], ids=["count", "encode"])
def test_the_reference_takes_no_more_memory_for_a_longer_line(directory: Path, script: str) -> None:
    peaks = []
    for num_pieces in (2, 7):
        write_text(directory / "a.txt", num_pieces)
        last = 1 if script == COUNT else directory
        peaks.append(run(script, "reference", directory / "a.txt", last)[1])
    assert peaks[1] - peaks[0] < 10


@pytest.mark.long
@pytest.mark.parametrize("script", [COUNT, ENCODE], ids=["count", "encode"])
@pytest.mark.parametrize(("engine", "num_pieces"), [("reference", 101), ("kernels", 2048)])
def test_a_line_of_two_gigabytes_fits_into_a_little_memory(
    directory: Path, engine: str, num_pieces: int, script: str
) -> None:
    write_text(directory / "a.txt", num_pieces)
    last = 2 if script == COUNT else directory
    num_bytes, megabytes = run(script, engine, directory / "a.txt", last)
    assert num_bytes == num_pieces << 20
    assert megabytes < 300


def test_peak_of_memory_leaves_out_the_program_that_started_this_one() -> None:
    script = "from bpe.peak_memory import peak_memory; print(peak_memory() >> 20)"
    start = (
        "import subprocess, sys; held = bytearray(b'.') * (311 << 20); "
        "subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    )
    words = [sys.executable, "-c", start, script]
    assert int(subprocess.check_output(words)) < 100
