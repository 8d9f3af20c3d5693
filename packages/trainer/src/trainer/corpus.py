"""Raw text files: check that they are text, join them, and split off the validation part.

Files pass in blocks, so a corpus may be larger than memory, and every byte of it arrives unchanged.
Those named `.gz` (or `.zst`) are unpacked on the way, in blocks as well.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bpe.byte_stream import PACKED
from bpe.text_file import TextFile

BLOCK = 1 << 22
BORDER_SEARCH = 1 << 20


def corpus_size(files: Sequence[Path]) -> int:
    """Return the bytes of all files; raise ValueError for one that is missing or empty."""
    total = 0
    for file in files:
        if not file.exists():
            raise ValueError(f"corpus {file}: no such file")
        if not file.is_file():
            raise ValueError(f"corpus {file}: not a file; name the text files one by one")
        size = file.stat().st_size
        if size == 0:
            raise ValueError(f"corpus {file} is empty: give a file with text in it")
        total += size
    return total


def text_sha256(file: Path, progress: Callable[[int], object]) -> str:
    """Return the SHA-256 of a text file as it is stored.

    `progress` is told the number of bytes of each block. Raises ValueError that names the file, the
    offset and the line of the first byte that is not UTF-8; what is packed is not unpacked for
    that, and shows it when it is joined.
    """
    digest = hashlib.sha256()
    for block in _stored_blocks(file) if is_packed(file) else _text_blocks(file):
        digest.update(block)
        progress(len(block))
    return digest.hexdigest()


def is_packed(file: Path) -> bool:
    """Say whether a file is one that is unpacked as it is read, by its name."""
    return file.name.lower().endswith(PACKED)


def join_files(
    files: Sequence[Path], destination: Path, separator: bytes, *, progress: Callable[[int], object]
) -> list[int]:
    """Write all files, unpacked, into one; return where in it each of them ends.

    Between two stands `separator`, unless the first ends with it; it counts as the first one's.
    `progress` is told the number of bytes read, packed as they may be.
    """
    ends: list[int] = []
    last = b""
    with destination.open("wb") as out:
        for file in files:
            if ends and not last.endswith(separator):
                ends[-1] += out.write(separator)
            last = b""
            text = TextFile(file, piece_bytes=BLOCK)
            read = 0
            for piece in text:
                block = piece.encode()
                out.write(block)
                last = (last + block)[-len(separator) :]
                progress(text.num_read - read)
                read = text.num_read
            progress(text.num_read - read)
            ends.append(out.tell())
    return ends


def count_marks(text: Path, mark: bytes, ends: Sequence[int]) -> list[int]:
    """Return how many times `mark` stands in the file before each of `ends` (in bytes, rising)."""
    counts, count, place = [], 0, 0
    with text.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for end in ends:
            while (found := data.find(mark, place, end)) >= 0:
                count += 1
                place = found + len(mark)
            place = max(place, end)
            counts.append(count)
    return counts


def split_tail(text: Path, tail: Path, target: int, separator: bytes) -> None:
    """Move about the last `target` bytes of the file `text` into the new file `tail`.

    The cut falls after a separator where one is near, else after a line, else between two
    characters, so that no document, line or character is torn if that can be helped.
    """
    size = text.stat().st_size
    with text.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            cut = _border(data, max(1, size - target), separator)
            _copy(data, cut, size, tail)
        file.truncate(cut)


def first_bytes(text: Path, destination: Path, limit: int) -> Path:
    """Return `text` itself if it is no longer than `limit`, else a copy of its first lines."""
    if text.stat().st_size <= limit:
        return text
    with text.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cut = data.rfind(b"\n", 0, limit) + 1 or _character_start(data, limit, -1)
        _copy(data, 0, cut, destination)
    return destination


def _text_blocks(file: Path) -> Iterator[bytes]:
    return (text.encode() for text in TextFile(file, piece_bytes=BLOCK))


def _stored_blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stored:
        while block := stored.read(BLOCK):
            yield block


def _copy(data: mmap.mmap, start: int, end: int, destination: Path) -> None:
    with destination.open("wb") as out:
        for block in range(start, end, BLOCK):
            out.write(data[block : min(block + BLOCK, end)])


def _border(data: mmap.mmap, wanted: int, separator: bytes) -> int:
    # Never further than half of the tail, or a text with few borders would lose its tail.
    reach = min(BORDER_SEARCH, (len(data) - wanted) // 2)
    for mark in (separator, b"\n"):
        # A border is where a mark ends.
        found = data.find(mark, max(0, wanted - len(mark)), wanted + reach)
        if found < 0:
            found = data.rfind(mark, max(0, wanted - reach - len(mark)), wanted)
        if found >= 0:
            return found + len(mark)
    return _character_start(data, wanted, 1)


def _character_start(data: mmap.mmap, place: int, direction: int) -> int:
    # Bytes 10xxxxxx continue a character; any other byte starts one.
    while 0 < place < len(data) and data[place] & 0xC0 == 0x80:
        place += direction
    return place
