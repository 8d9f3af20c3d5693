"""Read what is in memory as the bytes of a file are read."""

import io
from typing import Any

# Characters that are encoded at a time: they and their bytes stay in the processor's cache.
_SLICE = 1 << 14


class MemoryStream(io.RawIOBase):
    """The bytes of a buffer, or of a text in UTF-8, which is encoded a slice at a time.

    `size` is of bytes or characters. Reading raises UnicodeEncodeError at a lone surrogate.
    """

    def __init__(self, data: str | memoryview) -> None:
        super().__init__()
        self.size = len(data)
        self.num_read = 0
        self._data = data
        self._slice = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill some of `buffer`; return how many bytes, 0 at the end."""
        if not self._slice:
            self._slice = self._next_slice(len(buffer))
        length = min(len(buffer), len(self._slice))
        buffer[:length] = self._slice[:length]
        self._slice = self._slice[length:]
        return length

    def close(self) -> None:
        """Let go of the buffer."""
        self._data = self._slice = memoryview(b"")
        super().close()

    def _next_slice(self, num_bytes: int) -> memoryview:
        start = self.num_read
        if isinstance(self._data, str):
            self.num_read = min(start + _SLICE, self.size)
            return memoryview(self._data[start : self.num_read].encode())
        self.num_read = min(start + num_bytes, self.size)
        return self._data[start : self.num_read]
