"""Read files into the buffers of threads, in chunks of bytes cut where `chunking` may cut text.

    buffer   | rest of the last chunk | newly read ............ | PADDING |
    chunk    |<------------------------------->| a safe cut     |
    rest                                       |<-------------->|  goes to the next buffer

Nothing is decoded but a window at the end of the buffer, in which the cut is looked for. Where it
has none it is widened, up to the whole buffer, and then the buffer is doubled: a file in which no
cut comes is read whole.
"""

import codecs
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bpe.chunking import ChunkCutter

# Kernels may read so far behind a text.
PADDING = 64
_FIRST_WINDOW = 1 << 12


class NotUtf8Error(Exception):
    """Somewhere in the files is a byte that is not UTF-8."""


class ByteChunks:
    """The chunks of some files, in order, for any number of threads to take."""

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], cutter: ChunkCutter, chunk_bytes: int
    ) -> None:
        self.num_bytes = 0
        self._paths = list(reversed(paths))
        self._cutter = cutter
        self._chunk_bytes = chunk_bytes
        self._lock = Lock()
        self._file: BinaryIO | None = None
        self._rest = np.empty(0, np.uint8)

    def new_buffer(self) -> NDArray[np.uint8]:
        """Return a buffer that fits most chunks."""
        return np.empty(self._chunk_bytes + PADDING, np.uint8)

    def read(self, buffer: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
        """Read the next chunk; return `buffer`, or a larger one, and the length, 0 at the end.

        Raises OSError, and NotUtf8Error where it happens to see such a byte.
        """
        with self._lock:
            while self._open():
                buffer, length = self._read_chunk(buffer)
                if length:
                    return buffer, length
            return buffer, 0

    def close(self) -> None:
        """Close the file that is open, and read no further."""
        with self._lock:
            self._paths.clear()
            if self._file is not None:
                self._file.close()
                self._file = None

    def _open(self) -> bool:
        if self._file is None and self._paths:
            self._file = Path(self._paths.pop()).open("rb", buffering=0)  # noqa: SIM115
        return self._file is not None

    def _read_chunk(self, buffer: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
        assert self._file is not None
        filled = len(self._rest)
        buffer = _with_room(buffer, 0, max(self._chunk_bytes, 2 * filled))
        buffer[:filled] = self._rest
        while True:
            end = len(buffer) - PADDING
            num_read = _fill(self._file, buffer[filled:end])
            self.num_bytes += num_read
            filled += num_read
            if filled < end:
                self._file.close()
                self._file = None
                self._rest = np.empty(0, np.uint8)
                return buffer, filled
            cut = self._last_cut(buffer, filled)
            if cut:
                self._rest = buffer[cut:filled].copy()
                return buffer, cut
            buffer = _with_room(buffer, filled, 2 * filled)

    def _last_cut(self, buffer: NDArray[np.uint8], filled: int) -> int:
        window = _FIRST_WINDOW
        while True:
            start = max(0, filled - window)
            # Begin with a whole character.
            while start < filled and buffer[start] & 0xC0 == 0x80:
                start += 1
            try:
                text, _ = codecs.utf_8_decode(buffer[start:filled].tobytes(), "strict", False)
            except UnicodeDecodeError:
                raise NotUtf8Error from None
            cut = self._cutter.last_cut(text)
            if cut:
                return start + len(text[:cut].encode())
            if window >= filled:
                return 0
            window *= 16


def _fill(file: BinaryIO, target: NDArray[np.uint8]) -> int:
    """Read until `target` is full or the file ends."""
    view = target.data
    filled = 0
    while filled < len(view):
        num_read = file.readinto(view[filled:])  # type: ignore[attr-defined]
        if not num_read:
            break
        filled += num_read
    return filled


def _with_room(buffer: NDArray[np.uint8], filled: int, num_bytes: int) -> NDArray[np.uint8]:
    if len(buffer) - PADDING >= num_bytes:
        return buffer
    larger = np.empty(num_bytes + PADDING, np.uint8)
    larger[:filled] = buffer[:filled]
    return larger
