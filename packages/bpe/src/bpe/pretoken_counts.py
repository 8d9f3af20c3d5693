"""Counts of pretokens, and the files that carry them from one machine to another.

A file of counts is an uncompressed .npz of three arrays and what they are counts of:

    pretokens   their bytes, one after the other, in ascending order
    lengths     the length of each, int64
    counts      how often each occurs, int64
    about       JSON: format, pattern, special tokens, errors, bytes of text, SHA-256 of the rest

The same counts make the same file, byte for byte. Nothing in it is ever evaluated.
"""

import hashlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bpe.atomic_file import atomic_file
from bpe.byte_stream import DamagedFileError
from bpe.vocabulary import check_special_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

StrPath = str | os.PathLike[str]

_FORMAT = 1
_ARRAYS = {"pretokens": "|u1", "lengths": "<i8", "counts": "<i8", "about": "|u1"}


@dataclass(frozen=True)
class PretokenCounts:
    """What was found in some files: how often each pretoken, in how many bytes of text.

    `num_replacements` maps each file that was not UTF-8 to how many malformed sequences in it were
    read as U+FFFD. Counts are good for one list of special tokens and one pattern.
    """

    counts: dict[str, int]
    num_bytes: int
    num_replacements: dict[str, int]
    special_tokens: tuple[str, ...]
    pattern: str
    errors: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of counts, whole or not at all."""
        # numpy takes longer to import than the rest of the package: it waits for its first use.
        import numpy as np

        items = sorted((pretoken.encode(), count) for pretoken, count in self.counts.items())
        arrays: dict[str, NDArray[Any]] = {
            "pretokens": np.frombuffer(b"".join(pretoken for pretoken, _ in items), "|u1"),
            "lengths": np.array([len(pretoken) for pretoken, _ in items], "<i8"),
            "counts": np.array([count for _, count in items], "<i8"),
        }
        about = {
            "format": _FORMAT,
            "pattern": self.pattern,
            "special_tokens": list(self.special_tokens),
            "errors": self.errors,
            "num_bytes": self.num_bytes,
            "num_replacements": self.num_replacements,
        }
        about["sha256"] = _sha256(arrays, about)
        described = np.frombuffer(json.dumps(about).encode(), "|u1")
        with atomic_file(Path(path)) as file:
            np.savez(file, allow_pickle=False, about=described, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file of counts.

        Raises ValueError for a file of another kind, DamagedFileError for one that is not whole.
        """
        name = os.fspath(path)
        arrays, about = _read(name)
        digest = about.pop("sha256", None)
        if digest != _sha256(arrays, about):
            raise DamagedFileError(f"{name}: its SHA-256 is another; the file is damaged")
        if about.pop("format", None) != _FORMAT:
            raise DamagedFileError(f"{name}: this version reads format {_FORMAT} alone")
        try:
            return cls(_unpack(arrays), **_checked(about))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFileError(f"{name}: does not hold together: {error}") from None


def sum_counts(
    parts: StrPath | PretokenCounts | Sequence[StrPath | PretokenCounts],
) -> PretokenCounts:
    """Return the counts of all parts, or files of them, together.

    Raises ValueError for parts with different special tokens or patterns.
    """
    if isinstance(parts, (str, os.PathLike, PretokenCounts)):
        parts = [parts]
    if not parts:
        raise ValueError("there are no counts; give at least one part")
    total: Counter[str] = Counter()
    replacements: Counter[str] = Counter()
    num_bytes = 0
    first: tuple[str, PretokenCounts] | None = None
    for number, part in enumerate(parts):
        name = f"part {number}" if isinstance(part, PretokenCounts) else os.fspath(part)
        found = part if isinstance(part, PretokenCounts) else PretokenCounts.load(part)
        if first is None:
            first = name, replace(found, counts={})
        _check_alike(*first, name, found)
        total.update(found.counts)
        replacements.update(found.num_replacements)
        num_bytes += found.num_bytes
    assert first is not None
    return replace(
        first[1], counts=dict(total), num_bytes=num_bytes, num_replacements=dict(replacements)
    )


def _check_alike(name: str, part: PretokenCounts, other_name: str, other: PretokenCounts) -> None:
    for field in ("special_tokens", "pattern"):
        value, other_value = getattr(part, field), getattr(other, field)
        if value != other_value:
            values = [[*v] if isinstance(v, tuple) else v for v in (value, other_value)]
            raise ValueError(
                f"{name} and {other_name} do not belong together: "
                f"{field} is {values[0]!r} and {values[1]!r}"
            )


def _unpack(arrays: dict[str, "NDArray[Any]"]) -> dict[str, int]:
    pretokens = arrays["pretokens"].tobytes()
    counts: dict[str, int] = {}
    end = 0
    for length, count in zip(arrays["lengths"].tolist(), arrays["counts"].tolist(), strict=True):
        if length < 1 or count < 1:
            raise ValueError(f"a pretoken of {length} bytes occurs {count} times")
        counts[pretokens[end : end + length].decode()] = count
        end += length
    if end != len(pretokens) or len(counts) != len(arrays["counts"]):
        raise ValueError(f"{len(counts):,} pretokens of {end:,} bytes")
    return counts


def _checked(about: dict[str, Any]) -> dict[str, Any]:
    kinds = {"pattern": str, "errors": str, "num_bytes": int, "num_replacements": dict}
    for name, kind in kinds.items():
        if type(about[name]) is not kind:
            raise ValueError(f"{name} is {about[name]!r:.40}")
    check_special_texts(about["special_tokens"])
    return {**about, "special_tokens": tuple(about["special_tokens"])}


def _read(name: str) -> tuple[dict[str, "NDArray[Any]"], dict[str, Any]]:
    """Return the arrays and what is said about them.

    Without numpy's own reader, which raises many kinds of errors for damaged files.
    """
    import struct
    import zipfile

    arrays: dict[str, NDArray[Any]] = {}
    with Path(name).open("rb") as file:
        if not b"PK".startswith(file.read(2)):
            make = f"bpe count {shlex.quote(name)} --out PART.npz"
            raise ValueError(f"{name}: not a file of counts; if it is text: {make}")
        try:
            with zipfile.ZipFile(file) as archive:
                for key, dtype in _ARRAYS.items():
                    member = archive.getinfo(f"{key}.npy")
                    if member.compress_type != zipfile.ZIP_STORED:
                        raise ValueError(f"{key} is compressed")
                    arrays[key] = _as_array(archive.read(member), dtype)
            about = json.loads(arrays.pop("about").tobytes())
            if not isinstance(about, dict):
                raise ValueError("about is no object")
        except (
            *(EOFError, KeyError, NotImplementedError, OSError, OverflowError),
            *(RuntimeError, ValueError, struct.error, zipfile.BadZipFile),
        ) as error:
            reason = " ".join(str(error).split())
            raise DamagedFileError(
                f"{name}: not counts of bpe count, or damaged: {reason:.160}"
            ) from None
    return arrays, about


def _as_array(data: bytes, dtype: str) -> "NDArray[Any]":
    """Return the one axis that the bytes of an .npy file of that type hold."""
    import numpy as np

    start = 10 + int.from_bytes(data[8:10], "little")
    header = data[:start]
    if header[:8] != b"\x93NUMPY\x01\x00" or f"'descr': '{dtype}'".encode() not in header:
        raise ValueError(f"{header!r:.40} is no array of {dtype}")
    return np.frombuffer(data[start:], dtype)


def _sha256(arrays: "dict[str, NDArray[Any]]", about: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in ("pretokens", "lengths", "counts"):
        digest.update(arrays[name].data)
    return digest.hexdigest()
