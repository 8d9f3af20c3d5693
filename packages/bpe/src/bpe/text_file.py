"""Read UTF-8 as text, in pieces of bounded size, byte-exact: CRLF, NUL and a BOM stay."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn, Protocol

from bpe.byte_stream import ByteStream, is_pipe, likely_size
from bpe.chunking import Chunk, ChunkCutter, cut_chunks
from bpe.memory_stream import MemoryStream
from bpe.text_source import TextSource


class ReadableBuffer(Protocol):
    """What shows its memory: bytes, bytearray, memoryview, mmap, an array."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Return its memory; Python 3.11 asks for it in its own way."""
        ...


class TextFile(TextSource):
    """The text of a file, one document. Iterate to read it; a place is a byte's offset and line."""

    PIECE_BYTES = 1 << 18

    def __iter__(self) -> Iterator[str]:
        self.num_bytes = self.num_replacements = num_lines = 0
        rest = b""
        with self.open() as file:
            while True:
                read = file.read(self._piece_bytes) or b""
                data = rest + read
                try:
                    text, used = codecs.utf_8_decode(data, self.errors, not read)
                except UnicodeDecodeError as error:
                    offset = self.num_bytes + error.start
                    line = 1 + num_lines + data.count(b"\n", 0, error.start)
                    reason = _packing(data) if offset == 1 else None
                    raise ValueError(
                        f"{self.path}: invalid byte 0x{data[error.start]:02x} at offset "
                        f"{offset:,} (line {line:,}); {reason or 'the text must be UTF-8'}"
                    ) from None
                if self.errors == "replace":
                    # The bytes of a U+FFFD that stands in the file itself never decode to more.
                    genuine = data.count(b"\xef\xbf\xbd", 0, used)
                    self.num_replacements += text.count("\ufffd") - genuine
                num_lines += data.count(b"\n", 0, used)
                self.num_bytes += used
                rest = data[used:]
                if text:
                    yield text
                self.advance(file.num_read, file.size)
                if not read:
                    return

    @property
    def size(self) -> int:
        """The bytes of the file as it is stored; of a pipe, whose size nobody knows, a lot."""
        return likely_size(self.path)

    @property
    def is_pipe(self) -> bool:
        """Whether it can be read once only, and its size is not known."""
        return is_pipe(self.path)

    def open(self) -> ByteStream | MemoryStream:
        """Return the bytes of the text."""
        return ByteStream(self.path)

    def documents(self) -> Iterator[Iterable[str]]:
        """Yield the one document, in pieces."""
        yield self

    def chunks(self, cutter: ChunkCutter) -> Iterator[Chunk]:
        """Yield the text in chunks of about the size of a piece, cut where `cutter` says."""
        return (Chunk([text]) for text in cut_chunks(self, cutter))


def _packing(data: bytes) -> str | None:
    """Say by what a file is packed that begins with `data`, and how it is unpacked."""
    for name, magic, cat in [
        ("gzip", b"\x1f\x8b", "zcat"),
        ("zstd", b"\x28\xb5\x2f\xfd", "zstdcat"),
    ]:
        if data.startswith(magic):
            return f"it looks like {name}: unpack it first ({cat} FILE | ...)"
    return None


def raise_for_invalid(files: Sequence[TextFile]) -> NoReturn:
    """Raise ValueError for the first byte that is not UTF-8, after somebody has met with one."""
    for file in files:
        for _ in file:
            pass
    raise ValueError(f"{files[0].path}: not UTF-8, or changed while it was read")


def view_bytes(data: ReadableBuffer) -> memoryview:
    """Return a view of a buffer of single bytes. Raises TypeError for what is not one."""
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"text is a {type(data).__name__}, not a str or bytes") from None
    if view.ndim != 1 or view.format not in ("B", "b", "c"):
        kind = f"{type(data).__name__} of {view.format!r} with {view.ndim} axes"
        raise TypeError(f"text is a {kind}, not a row of bytes")
    return view if view.format == "B" else view.cast("B")


class TextInMemory(TextFile):
    """A text that is at hand, as UTF-8 or as a well-formed str, read as a file is."""

    def __init__(self, data: str | memoryview, *, errors: str = "strict") -> None:
        super().__init__("text", errors=errors)
        self.data = data

    @property
    def size(self) -> int:
        """How many bytes or characters there are."""
        return len(self.data)

    @property
    def is_pipe(self) -> bool:
        """It is none."""
        return False

    def open(self) -> MemoryStream:
        """Return the bytes of the text."""
        return MemoryStream(self.data)
