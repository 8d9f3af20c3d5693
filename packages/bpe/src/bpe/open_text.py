"""Open a file of text as what it is by its name: one text, or many documents."""

import os
from collections.abc import Callable

from bpe.byte_stream import PACKED
from bpe.document_file import JsonLinesFile
from bpe.parquet_file import ParquetFile
from bpe.text_file import TextFile
from bpe.text_source import TextSource


def open_text(
    path: str | os.PathLike[str],
    *,
    column: str = "text",
    errors: str = "strict",
    progress: Callable[[int, int], None] | None = None,
    piece_bytes: int | None = None,
) -> TextSource:
    """Return what reads a file: `.jsonl` and `.parquet` hold documents in `column`, others text.

    `.gz` and `.zst` are unpacked, and a path with `://` goes through fsspec.
    """
    name = os.fspath(path).lower()
    packing = next((suffix for suffix in PACKED if name.endswith(suffix)), "")
    name = name.removesuffix(packing)
    if name.endswith(".parquet") and packing:
        raise ValueError(f"{os.fspath(path)}: Parquet is packed inside; unpack the {packing}")
    if not name.endswith((".parquet", ".jsonl", ".ndjson")):
        return TextFile(path, errors=errors, progress=progress, piece_bytes=piece_bytes)
    kind = ParquetFile if name.endswith(".parquet") else JsonLinesFile
    return kind(path, column=column, errors=errors, progress=progress, piece_bytes=piece_bytes)
