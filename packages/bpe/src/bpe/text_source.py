"""What a file of text is, of whatever kind: documents that are read in order, and counted."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from bpe.chunking import Chunk, ChunkCutter
from bpe.streaming import check_errors


class TextSource(ABC):
    """A file, to be read once; the counts grow as the reading goes on.

    `num_bytes` is of the text, in UTF-8, `num_read` of the file as it is stored, packed or not.
    With `errors="strict"` what is not UTF-8 raises ValueError that names file and place; with
    "replace" it becomes U+FFFD, and `num_replacements` says how often that happened. `progress` is
    called with the bytes read of the file and its size.
    """

    # About how much is read at a time, unless `piece_bytes` says so.
    PIECE_BYTES: ClassVar[int]

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        errors: str = "strict",
        progress: Callable[[int, int], None] | None = None,
        piece_bytes: int | None = None,
    ) -> None:
        check_errors(errors)
        self.path = os.fspath(path)
        self.num_bytes = 0
        self.num_read = 0
        self.num_replacements = 0
        self.errors = errors
        self._progress = progress
        self._piece_bytes = piece_bytes or self.PIECE_BYTES

    @abstractmethod
    def documents(self) -> Iterator[Iterable[str]]:
        """Yield each document, in pieces."""

    @abstractmethod
    def chunks(self, cutter: ChunkCutter) -> Iterator[Chunk]:
        """Yield the documents in chunks of about the size of a piece, cut where `cutter` says."""

    def advance(self, num_read: int, size: int) -> None:
        """Take note that so much of the file has been read, whoever reads it."""
        if self._progress is not None and num_read != self.num_read:
            self._progress(num_read, max(size, num_read))
        self.num_read = num_read
