"""Gather text to measure tokenizers on: the sources and documents of the installed packages.

Python, C and C++ code, and the prose in and beside it. Files come in an order that depends on
their names alone, each is followed by SEPARATOR, and files with the same bytes come once.
"""

import hashlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SEPARATOR = "<|endoftext|>"
_SUFFIXES = {".py", ".pyi", ".pyx", ".md", ".rst", ".txt", ".h", ".hpp", ".cuh", ".c", ".cpp"}


def gather(destination: Path, at_least: int) -> int:
    """Write the corpus; return its bytes. Raises ValueError if there are fewer than `at_least`."""
    seen: set[bytes] = set()
    num_bytes = 0
    with destination.open("wb") as file:
        for path in _files():
            data = path.read_bytes()
            digest = hashlib.sha256(data).digest()
            if not data or digest in seen or not _is_text(data):
                continue
            seen.add(digest)
            num_bytes += file.write(data + SEPARATOR.encode())
    if num_bytes < at_least:
        raise ValueError(
            f"the installed packages have {num_bytes:,} bytes of text, fewer than {at_least:,}; "
            "give a file with --corpus"
        )
    return num_bytes


def _files() -> Iterator[Path]:
    roots = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")}
    found = {path for root in roots for path in root.rglob("*") if _is_wanted(path)}
    yield from sorted(found, key=lambda path: hashlib.sha256(str(path).encode()).digest())


def _is_wanted(path: Path) -> bool:
    return (path.suffix in _SUFFIXES or path.name == "METADATA") and path.is_file()


def _is_text(data: bytes) -> bool:
    try:
        return SEPARATOR not in data.decode()
    except UnicodeDecodeError:
        return False
