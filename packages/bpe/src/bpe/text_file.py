"""Read a UTF-8 file as text, in pieces of bounded size, byte-exact: CRLF, NUL and a BOM stay."""

import codecs
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from bpe.streaming import check_errors


class TextFile:
    """The text of a file. Iterate to read it; the counts grow as the reading goes on.

    With `errors="strict"` a byte that is not UTF-8 raises ValueError with file, byte, offset and
    line. With "replace" it becomes U+FFFD, and `num_replacements` says how often that happened.
    `progress` is called with the bytes read and the bytes in all after each piece.
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
        self.num_replacements = 0
        self.errors = errors
        self._progress = progress
        self._piece_bytes = piece_bytes

    def __iter__(self) -> Iterator[str]:
        num_lines = 0
        rest = b""
        with Path(self.path).open("rb") as file:
            total = os.fstat(file.fileno()).st_size
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
                self.advance(self.num_bytes, total)
                if not read:
                    return

    def advance(self, num_bytes: int, total: int) -> None:
        """Take note that so many bytes have been read, whoever reads them."""
        self.num_bytes = num_bytes
        if self._progress is not None:
            self._progress(num_bytes, max(total, num_bytes))
