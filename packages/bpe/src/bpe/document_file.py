"""Read the documents of a file that holds many: text in a field of JSON lines or Parquet rows.

Documents are separate texts: no pretoken spans two. Memory is bounded by the longest document, and
in Parquet by what the file says is to be read together.
"""

import json
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from io import BufferedReader

from bpe.byte_stream import ByteStream
from bpe.chunking import Chunk, ChunkCutter, pack_documents
from bpe.streaming import well_formed
from bpe.text_source import TextSource


class DocumentFile(TextSource):
    """The texts in `column` of a file; a place is a line or a row.

    A lone surrogate counts as what is not UTF-8.
    """

    PIECE_BYTES = 1 << 20

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        column: str = "text",
        errors: str = "strict",
        progress: Callable[[int, int], None] | None = None,
        piece_bytes: int | None = None,
    ) -> None:
        super().__init__(path, errors=errors, progress=progress, piece_bytes=piece_bytes)
        self.column = column

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Yield the documents."""

    def documents(self) -> Iterator[tuple[str]]:
        """Yield each document, in one piece."""
        return ((document,) for document in self)

    def chunks(self, cutter: ChunkCutter) -> Iterator[Chunk]:
        """Yield short documents together, and long ones in parts, cut where `cutter` says."""
        return pack_documents(self, cutter, self._piece_bytes)

    def _decode(self, data: bytes, place: str) -> str:
        """Decode UTF-8; replacements are counted."""
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            if self.errors == "strict":
                byte = data[error.start]
                raise ValueError(
                    f"{self.path}, {place}: invalid byte 0x{byte:02x} at offset {error.start:,}; "
                    "the text must be UTF-8"
                ) from None
        text = data.decode(errors="replace")
        self.num_replacements += text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
        return text


class JsonLinesFile(DocumentFile):
    """The texts in one field of the objects of a .jsonl file, one object a line."""

    def __iter__(self) -> Iterator[str]:
        with ByteStream(self.path) as file:
            for number, line in enumerate(BufferedReader(file, 1 << 18), start=1):
                self.advance(file.num_read, file.size)
                if not line.isspace():
                    yield self._document(line, f"line {number:,}")
            self.advance(file.num_read, file.size)

    def _document(self, line: bytes, place: str) -> str:
        line_text = self._decode(line.rstrip().removeprefix(b"\xef\xbb\xbf"), place)
        try:
            fields = json.loads(line_text)
        except json.JSONDecodeError as error:
            reason = f"{error.msg} at character {error.pos + 1:,}"
            raise ValueError(f"{self.path}, {place}: not JSON: {reason}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.path}, {place}: not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise ValueError(f"{self.path}, {place}: {fields!r:.40} is not an object with fields")
        if self.column not in fields:
            raise ValueError(f"{self.path}, {place}: {no_column(self.column, fields)}")
        text = fields[self.column]
        if not isinstance(text, str):
            kind = type(text).__name__
            raise ValueError(f"{self.path}, {place}: {self.column!r} is {kind}, not a string")
        if not text.isascii():
            text = self._well_formed(text, place)
            self.num_bytes += len(text.encode())
        else:
            self.num_bytes += len(text)
        return text

    def _well_formed(self, text: str, place: str) -> str:
        """Find the surrogates that escapes such as \\ud800 can make."""
        try:
            good = "".join(well_formed((text,), self.errors))
        except ValueError as error:
            raise ValueError(f"{self.path}, {place}: {error}") from None
        self.num_replacements += good.count("\ufffd") - text.count("\ufffd")
        return good


def no_column(column: str, names: object) -> str:
    """Say that a column is missing, and which there are."""
    there = ", ".join(map(repr, names)) or "none"  # type: ignore[call-overload]
    return f"no column {column!r}; there are {there:.200}; choose one with --column"
