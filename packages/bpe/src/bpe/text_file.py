"""Read a UTF-8 file as text, in pieces of bounded size, byte-exact: CRLF, NUL and a BOM stay."""

import codecs
import os
from collections.abc import Callable, Iterable, Iterator

from bpe.byte_stream import ByteStream
from bpe.chunking import Chunk, ChunkCutter, cut_chunks
from bpe.streaming import check_errors


class TextFile:
    """The text of a file, one document. Iterate to read it; the counts grow as the reading goes on.

    `num_bytes` is of the text, `num_read` of the file as it is stored, packed or not. With
    `errors="strict"` a byte that is not UTF-8 raises ValueError with file, byte, offset and line.
    With "replace" it becomes U+FFFD, and `num_replacements` says how often that happened.
    `progress` is called with the bytes read of the file and its size after each piece.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        errors: str = "strict",
        progress: Callable[[int, int], None] | None = None,
        piece_bytes: int = 1 << 18,
    ) -> None:
        check_errors(errors)
        self.path = os.fspath(path)
        self.num_bytes = 0
        self.num_read = 0
        self.num_replacements = 0
        self.errors = errors
        self._progress = progress
        self._piece_bytes = piece_bytes

    def __iter__(self) -> Iterator[str]:
        num_lines = 0
        rest = b""
        with ByteStream(self.path) as file:
            while True:
                read = file.read(self._piece_bytes)
                data = rest + read
                try:
                    text, used = codecs.utf_8_decode(data, self.errors, not read)
                except UnicodeDecodeError as error:
                    offset = self.num_bytes + error.start
                    line = 1 + num_lines + data.count(b"\n", 0, error.start)
                    raise ValueError(
                        f"{self.path}: invalid byte 0x{data[error.start]:02x} at offset "
                        f"{offset:,} (line {line:,}); the text must be UTF-8"
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
                self.advance(self.num_bytes, file.num_read, file.size)
                if not read:
                    return

    def documents(self) -> Iterator[Iterable[str]]:
        """Yield the one document, in pieces."""
        yield self

    def chunks(self, cutter: ChunkCutter) -> Iterator[Chunk]:
        """Yield the text in chunks of about the size of a piece, cut where `cutter` says."""
        return (Chunk([text]) for text in cut_chunks(self, cutter))

    def advance(self, num_bytes: int, num_read: int, size: int) -> None:
        """Take note that so much has been read, whoever reads it."""
        self.num_bytes = num_bytes
        self.num_read = num_read
        if self._progress is not None:
            self._progress(num_read, max(size, num_read))
