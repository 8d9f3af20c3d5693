"""Keep what is computed once per machine in a file: compiled kernels, the table of classes.

A file is one line with the SHA-256 of the rest, then the rest. It is written under another name and
renamed, so that processes that start together each see a whole file or none. Its name holds a key:
a hash of all that the content depends on. Files lie in the first of these directories that can be
written:

    $BPE_CACHE_DIR                      if it is set, and then in no other
    __pycache__ beside this file        removed with the package
    the user's cache directory          when the package belongs to somebody else

Compiled code is run as it is found, so none is looked for where other users could put it: the
directory and the file must belong to this user or to the administrator.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path


def read(name: str, key: str) -> bytes | None:
    """Return what was written under `name` and `key`; None if there is nothing whole."""
    for directory in _directories():
        path = directory / _file_name(name, key)
        try:
            if not _is_trusted(directory) or not _is_trusted(path):
                continue
            content = path.read_bytes()
        except OSError:
            continue
        digest, _, rest = content.partition(b"\n")
        if digest.decode("latin-1") == hashlib.sha256(rest).hexdigest():
            return rest
    return None


def write(name: str, key: str, content: bytes) -> Path | None:
    """Keep `content` and drop what has another key; return None where nothing can be written."""
    framed = hashlib.sha256(content).hexdigest().encode() + b"\n" + content
    for directory in _directories():
        with contextlib.suppress(OSError):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = directory / _file_name(name, key)
            _write_whole(path, framed)
            for other in directory.glob(_file_name(name, "*")):
                if other != path:
                    other.unlink(missing_ok=True)
            return path
    return None


def _write_whole(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _file_name(name: str, key: str) -> str:
    return f"bpe-{name}-{key}.bin"


def _directories() -> list[Path]:
    chosen = os.environ.get("BPE_CACHE_DIR")
    if chosen:
        return [Path(chosen)]
    return [Path(__file__).parent / "__pycache__", _user_cache_directory() / "bpe"]


def _user_cache_directory() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _is_trusted(path: Path) -> bool:
    if not hasattr(os, "getuid"):
        return True
    status = path.stat()
    return status.st_uid in (0, os.getuid()) and not status.st_mode & 0o002
