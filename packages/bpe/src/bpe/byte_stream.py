"""Read the bytes of a file, wherever it lies and however it is packed, in bounded memory.

A path with `://` in it goes through fsspec (`bpe[remote]`). `.gz` and `.zst` (`bpe[zstd]`) are
unpacked on the way; what is damaged or cut short in them raises DamagedFileError.
"""

import errno
import gzip
import importlib
import io
import os
import stat
import zlib
from pathlib import Path
from typing import Any

PACKED = (".gz", ".zst")

# Worth all the engines and workers that there are.
_PIPE_SIZE = 1 << 40
# What a slice can unpack to is bounded: 33 MB of zeros.
_ZSTD_SLICE = 1 << 10


class DamagedFileError(ValueError):
    """A file is cut short, or is not what its name says."""


class ByteStream(io.RawIOBase):
    """The unpacked bytes of one file. `size` and `num_read` are of the file as it is stored."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = os.fspath(path)
        self._stored = _StoredFile(self.path)
        self.size = self._stored.size
        self._unpacked: Any = self._stored
        if self.path.lower().endswith(".gz"):
            self._unpacked = gzip.GzipFile(fileobj=io.BufferedReader(self._stored), mode="rb")
        elif self.path.lower().endswith(".zst"):
            self._unpacked = _ZstdReader(self.path, io.BufferedReader(self._stored))

    @property
    def num_read(self) -> int:
        """How many bytes of the file have been read so far."""
        return self._stored.num_read

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill some of `buffer`; return how many bytes, 0 at the end."""
        try:
            num_read: int = self._unpacked.readinto(buffer)
            if self._unpacked is not self._stored and not self.num_read:
                # Not even an empty text is packed into nothing.
                raise EOFError
        except EOFError:
            raise DamagedFileError(f"{self.path}: cut short; its end is missing") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DamagedFileError(f"{self.path}: damaged, or not gzip: {error}") from None
        return num_read

    def close(self) -> None:
        """Close the file."""
        self._stored.close()
        super().close()


class _StoredFile(io.RawIOBase):
    """The bytes of one file as they are stored, here or elsewhere."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.num_read = 0
        self._path = path
        # Set first: `close` is called even if this raises.
        self._file: Any = None
        self._file, self.size = open_stored(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            num_read: int = self._file.readinto(buffer)
        except Exception as error:
            if is_remote(self._path):
                raise _remote_error(self._path, error) from error
            raise
        self.num_read += num_read
        return num_read

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


class _ZstdReader:
    """Unpack the frames of a .zst file, a slice at a time."""

    def __init__(self, path: str, file: io.BufferedReader) -> None:
        self._path = path
        self._file = file
        self._zstd = import_extra("zstandard", path)
        self._frame: Any = None
        self._rest = b""
        self._piece = memoryview(b"")

    def readinto(self, buffer: Any) -> int:
        while not self._piece:
            data = self._rest or self._file.read(_ZSTD_SLICE)
            self._rest = b""
            if not data and self._frame is None:
                return 0
            if not data:
                raise EOFError
            if self._frame is None:
                self._frame = self._zstd.ZstdDecompressor().decompressobj()
            try:
                self._piece = memoryview(self._frame.decompress(data))
            except self._zstd.ZstdError as error:
                raise DamagedFileError(f"{self._path}: damaged, or not zstd: {error}") from None
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        view = memoryview(buffer)
        length = min(len(view), len(self._piece))
        view[:length] = self._piece[:length]
        self._piece = self._piece[length:]
        return length


def open_stored(path: str) -> tuple[Any, int]:
    """Open a file as it is stored, here or elsewhere, to read bytes; return it and its size."""
    if is_remote(path):
        return _open_remote(path)
    file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (the caller closes it)
    return file, os.fstat(file.fileno()).st_size


def stored_size(path: str | os.PathLike[str]) -> int:
    """Return the size of a file as it is stored. Raises OSError if it cannot be opened.

    The size of a pipe is 0; opening it would take its text away.
    """
    if is_pipe(path):
        return 0
    # Opening finds what a size does not: a directory, a file that may not be read.
    with _StoredFile(os.fspath(path)) as file:
        return file.size


def likely_size(path: str | os.PathLike[str]) -> int:
    """Return the size of a file as it is stored, and of a pipe, whose size nobody knows, a lot."""
    return _PIPE_SIZE if is_pipe(path) else stored_size(path)


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a pipe, of which nothing can be read twice."""
    return not is_remote(path) and stat.S_ISFIFO(Path(path).stat().st_mode)


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a URL, for fsspec."""
    return "://" in os.fspath(path)


def import_extra(module: str, path: str) -> Any:
    """Import what an extra of this package brings; ValueError says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError:
        # Not the extra: `bpe` on a public index is not this package.
        package = module.partition(".")[0]
        raise ValueError(f"{path}: reading it needs {package}: pip install {package}") from None


def _open_remote(path: str) -> tuple[Any, int]:
    fsspec = import_extra("fsspec", path)
    try:
        file = fsspec.open(path, "rb").open()
        size = getattr(file, "size", None)
        if size is None:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
    except Exception as error:
        raise _remote_error(path, error) from error
    return file, int(size)


def _remote_error(path: str, error: Exception) -> Exception:
    """Say which file it was: the libraries of the many places raise errors of many kinds."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(error.errno, "No such file or directory", path)
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (ImportError, ValueError)):
        return ValueError(f"{path}: {reason}")
    number = error.errno if isinstance(error, OSError) else None
    return OSError(number or errno.EIO, reason, path)
