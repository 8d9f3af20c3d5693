"""Read streams into the buffers of threads, in chunks of bytes cut where `chunking` may cut text.

    buffer   | rest of the last chunk | newly read ............ | PADDING |
    chunk    |<------------------------------->| a safe cut     |
    rest                                       |<-------------->|  goes to the next buffer

Nothing is decoded but a window at the end of the buffer, in which the cut is looked for. Where it
has none it is widened, up to the whole buffer, and then the buffer is doubled: a text in which no
cut comes is read whole.
"""

import codecs
import os
from collections.abc import Iterable, Iterator
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bpe.byte_stream import ByteStream
from bpe.chunking import ChunkCutter
from bpe.memory_stream import MemoryStream

# Kernels may read so far behind a text.
PADDING = 64
_FIRST_WINDOW = 1 << 12


class NotUtf8Error(Exception):
    """Somewhere in the text is a byte that is not UTF-8."""


def open_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[ByteStream]:
    """Open each file when it is its turn; the reader closes it."""
    return map(ByteStream, paths)


class ByteChunks:
    """The chunks of some streams, in order, for any number of threads to take.

    `num_bytes` of text have been read, from `num_read` of the files as they are stored.
    """

    def __init__(
        self,
        streams: Iterator[ByteStream | MemoryStream],
        cutter: ChunkCutter,
        chunk_bytes: int,
    ) -> None:
        self.num_bytes = 0
        self.num_read = 0
        self._num_chunks = 0
        self._streams = streams
        self._cutter = cutter
        self._chunk_bytes = chunk_bytes
        self._lock = Lock()
        self._stream: ByteStream | MemoryStream | None = None
        self._is_closed = False
        self._rest = np.empty(0, np.uint8)

    def new_buffer(self) -> NDArray[np.uint8]:
        """Return a buffer that fits most chunks."""
        return np.empty(self._chunk_bytes + PADDING, np.uint8)

    def read(self, buffer: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int, int]:
        """Read the next chunk; return `buffer`, or a larger one, the length and the chunk's number.

        The length is 0 at the end, or after `close`.

        Raises OSError, and NotUtf8Error where it happens to see such a byte.
        """
        with self._lock:
            while self._open():
                buffer, length = self._read_chunk(buffer)
                if length:
                    self._num_chunks += 1
                    return buffer, length, self._num_chunks - 1
            return buffer, 0, self._num_chunks

    def close(self) -> None:
        """Close the stream that is open, and read no further."""
        with self._lock:
            self._is_closed = True
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    def _open(self) -> bool:
        if self._stream is None and not self._is_closed:
            self._stream = next(self._streams, None)
        return self._stream is not None

    def _read_chunk(self, buffer: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
        assert self._stream is not None
        filled = len(self._rest)
        buffer = _with_room(buffer, 0, max(self._chunk_bytes, 2 * filled))
        buffer[:filled] = self._rest
        while True:
            end = len(buffer) - PADDING
            before = self._stream.num_read
            length = _fill(self._stream, buffer[filled:end])
            self.num_read += self._stream.num_read - before
            self.num_bytes += length
            filled += length
            if filled < end:
                self._stream.close()
                self._stream = None
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


def _fill(stream: ByteStream | MemoryStream, target: NDArray[np.uint8]) -> int:
    """Read until `target` is full or the stream ends."""
    view = target.data
    filled = 0
    while filled < len(view):
        num_read = stream.readinto(view[filled:])
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
