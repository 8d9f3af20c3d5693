"""Token files: a one-dimensional .npy array of uint16 or uint32, and beside it what it holds.

`train.npy` has the sidecar `train.npy.json`: tokenizer hash, vocabulary size, number of tokens,
type, SHA-256 of the .npy file and where the text came from. The array is written by plain writes
to a temporary sibling and renamed when it is whole; the sidecar comes last, so that an array
without one is a sign of an interruption. Reading maps the file into memory once its size is right:
a map of a truncated file would end the process. Nothing in either file is ever evaluated.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bpe.atomic_file import atomic_file, write_atomically

TokenArray = NDArray[np.uint16] | NDArray[np.uint32]

_DTYPES = {"<u2": "uint16", "<u4": "uint32"}
_HEADER = re.compile(
    rb"\{'descr': '([^']{1,20})', 'fortran_order': (?:False|True), "
    rb"'shape': \(([0-9, ]*)\),? *\} *\n"
)
# One fixed length, so that the header can be written first and corrected at the end.
_HEADER_SIZE = 128


class TokenFileError(ValueError):
    """A token file or its sidecar is damaged, or belongs to something else."""


@dataclass(frozen=True)
class Sidecar:
    """What `NAME.npy.json` says about `NAME.npy`. `dtype` is "uint16" or "uint32"."""

    tokenizer_sha256: str
    vocab_size: int
    num_tokens: int
    dtype: str
    sha256: str
    source: str
    format: int = 1


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Return the smallest type that holds every id: uint16 up to 65,536 ids, then uint32."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of a token file lies."""
    return path.with_name(path.name + ".json")


def write_token_file(
    path: Path,
    batches: Iterable[Sequence[int] | TokenArray],
    *,
    tokenizer_sha256: str,
    vocab_size: int,
    source: str,
) -> Sidecar:
    """Write ids, batch by batch, to `path` and its sidecar; memory is that of one batch.

    Until all is written, and on any error, `path` keeps what it held before. Raises OSError with
    `path` in it when the disk is full or the directory cannot be written.
    """
    dtype = token_dtype(vocab_size)
    num_tokens = 0
    with atomic_file(path) as file:
        file.write(_header(dtype, 0))
        for batch in batches:
            # Neither way wraps an id that is too large: both raise.
            if isinstance(batch, np.ndarray):
                ids = batch.astype(dtype, casting="safe", copy=False)
            else:
                ids = np.array(batch, dtype=dtype)
            file.write(ids.data)
            num_tokens += len(ids)
        file.seek(0)
        file.write(_header(dtype, num_tokens))
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = _sha256(file)
        # The old sidecar must not stand beside the new array, not even for a moment.
        sidecar_path(path).unlink(missing_ok=True)
    sidecar = Sidecar(tokenizer_sha256, vocab_size, num_tokens, dtype.name, digest, source)
    text = json.dumps(asdict(sidecar), indent=1, ensure_ascii=False) + "\n"
    write_atomically(sidecar_path(path), text.encode())
    return sidecar


def read_sidecar(path: Path) -> Sidecar:
    """Read the sidecar of the token file `path`. Raises TokenFileError if it is not a whole one."""
    place = sidecar_path(path)
    try:
        fields = json.loads(place.read_bytes())
    except FileNotFoundError:
        raise TokenFileError(
            f"{path}: its sidecar {place.name} is missing, as after an interrupted encoding; "
            "encode the text again"
        ) from None
    except (ValueError, RecursionError) as error:
        raise TokenFileError(f"{place}: not JSON: {error}") from None
    kinds = Sidecar.__annotations__
    if not isinstance(fields, dict) or set(fields) != set(kinds):
        raise TokenFileError(f"{place}: the fields are not {', '.join(kinds)}")
    for name, kind in kinds.items():
        if type(fields[name]) is not kind or (kind is int and fields[name] < 0):
            raise TokenFileError(f"{place}: {name} is {fields[name]!r:.80}")
    if fields["format"] != 1:
        raise TokenFileError(f"{place}: format is {fields['format']}; this version reads 1")
    return Sidecar(**fields)


def read_token_file(
    path: str | os.PathLike[str],
    *,
    tokenizer_sha256: str | None = None,
    vocab_size: int | None = None,
    verify: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[TokenArray, Sidecar]:
    """Map a token file into memory, read-only, once it is known to be whole.

    Always checked: header, type, file size, sidecar and, where given, the tokenizer's hash and
    vocabulary size. `verify` also reads all of it, for the SHA-256 and ids beyond the vocabulary;
    `progress` is then told how many bytes are read, and of how many.
    Raises TokenFileError, which names the file, what was expected and what was found.
    """
    path = Path(path)
    dtype, num_tokens, start = _read_header(path)
    sidecar = read_sidecar(path)
    expected: list[tuple[str, object, object]] = [
        ("num_tokens", num_tokens, sidecar.num_tokens),
        ("dtype", dtype.name, sidecar.dtype),
    ]
    for name, found, said in expected:
        if found != said:
            raise TokenFileError(f"{path}: {name} is {found}, but its sidecar says {said}")
    if tokenizer_sha256 is not None and sidecar.tokenizer_sha256 != tokenizer_sha256:
        raise TokenFileError(
            f"{path}: encoded by tokenizer {sidecar.tokenizer_sha256:.12}, "
            f"not by {tokenizer_sha256:.12}; encode the text again"
        )
    if vocab_size is not None and sidecar.vocab_size > vocab_size:
        raise TokenFileError(
            f"{path}: encoded with vocab_size {sidecar.vocab_size:,}, more than {vocab_size:,}"
        )
    tokens: TokenArray
    if num_tokens:
        tokens = np.memmap(path, dtype=dtype, mode="r", offset=start, shape=(num_tokens,))
    else:
        tokens = np.empty(0, dtype=dtype)
    if verify:
        _verify(path, dtype, start, sidecar, progress)
    return tokens, sidecar


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _header(dtype: np.dtype[Any], num_tokens: int) -> bytes:
    fields = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({num_tokens},), }}"
    magic = b"\x93NUMPY\x01\x00" + (_HEADER_SIZE - 10).to_bytes(2, "little")
    return magic + fields.encode().ljust(_HEADER_SIZE - 11) + b"\n"


def _read_header(path: Path) -> tuple[np.dtype[Any], int, int]:
    """Return the type, the number of tokens and where they start, of a file of the right size."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno()).st_size
        head = file.read(12)
        wide = head[6:7] != b"\x01"
        start = int.from_bytes(head[8:12] if wide else head[8:10], "little") + (12 if wide else 10)
        file.seek(12 if wide else 10)
        fields = file.read(min(start, 1 << 12))[: start - (12 if wide else 10)]
    match = _HEADER.fullmatch(fields)
    if head[:6] != b"\x93NUMPY" or not match:
        raise TokenFileError(f"{path}: not a .npy array: {found:,} bytes, which begin {head!r}")
    descr, shape = match[1].decode("latin-1"), match[2].decode()
    if descr not in _DTYPES:
        raise TokenFileError(f"{path}: holds {descr!r}, not uint16 ('<u2') or uint32 ('<u4')")
    axes = re.fullmatch(r"([0-9]{1,18}), *", shape)
    if not axes:
        raise TokenFileError(f"{path}: has the shape ({shape}), not one axis")
    dtype, num_tokens = np.dtype(descr), int(axes[1])
    size = start + num_tokens * dtype.itemsize
    if found != size:
        raise TokenFileError(
            f"{path}: is {found:,} bytes long, but {num_tokens:,} tokens of {dtype.name} "
            f"need {size:,}; the file is {'truncated' if found < size else 'damaged'}"
        )
    return dtype, num_tokens, start


def _verify(
    path: Path,
    dtype: np.dtype[Any],
    start: int,
    sidecar: Sidecar,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Read the file once; raise TokenFileError for an id beyond the vocabulary or another hash."""
    size = start + sidecar.num_tokens * dtype.itemsize
    done = start
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(start))
        while piece := file.read(1 << 22):
            ids = np.frombuffer(piece, dtype=dtype)
            if int(ids.max()) >= sidecar.vocab_size:
                at = int(np.argmax(ids >= sidecar.vocab_size))
                place = done + at * dtype.itemsize
                raise TokenFileError(
                    f"{path}: token id {ids[at]} at position {(place - start) // dtype.itemsize:,} "
                    f"(byte {place:,}) is outside 0..{sidecar.vocab_size - 1}"
                )
            digest.update(piece)
            done += len(piece)
            if progress is not None:
                progress(done, size)
    if digest.hexdigest() != sidecar.sha256:
        raise TokenFileError(
            f"{path}: SHA-256 is {digest.hexdigest():.12}, but its sidecar says "
            f"{sidecar.sha256:.12}; the file is damaged"
        )
