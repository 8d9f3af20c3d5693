"""Count the distinct pretokens of files in threads: the kernels run without the interpreter lock.

Every thread has a buffer and a table of its own; in the end the tables are added up. Counts are
sums, so the result does not depend on which thread took which chunk.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from bpe.chunking import ChunkCutter, cut_chunks
from bpe.counting import CHUNK_BYTES
from bpe.counting import count_pretokens as count_by_regex
from bpe.kernels.byte_chunks import PADDING, ByteChunks, NotUtf8Error, open_files
from bpe.kernels.pattern_numbers import GPT2, pattern_number
from bpe.kernels.pretoken_table import PretokenTable
from bpe.patterns import compile_pattern
from bpe.processes import available_cpus
from bpe.text_file import TextFile


@dataclass(frozen=True)
class KernelCounts:
    """What was found in some files; the fields are those of `bpe.counting.PretokenCounts`."""

    counts: PretokenTable
    num_bytes: int
    num_replacements: dict[str, int]


def count_pretokens(
    paths: Sequence[str | os.PathLike[str]],
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    workers: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    errors: str = "strict",
    on_read: Callable[[int], None] | None = None,
) -> KernelCounts:
    """Do what `bpe.counting.count_pretokens` does, in `workers` threads, None for all CPUs.

    A pattern that the kernels do not know is left to it, and only its counts go into the table.
    """
    number = pattern_number(pattern)
    if number is None:
        found = count_by_regex(
            paths,
            special_tokens,
            pattern=pattern,
            workers=workers,
            chunk_bytes=chunk_bytes,
            errors=errors,
            on_read=on_read,
        )
        table = PretokenTable(GPT2, special_tokens)
        table.add_counts({pretoken.encode(): n for pretoken, n in found.counts.items()})
        return KernelCounts(table, found.num_bytes, found.num_replacements)
    if workers is None:
        size = sum(Path(path).stat().st_size for path in paths)
        workers = max(1, min(available_cpus(), size // chunk_bytes))
    tables = [PretokenTable(number, special_tokens) for _ in range(workers)]
    cutter = ChunkCutter(compile_pattern(pattern), special_tokens)
    files = [TextFile(path, errors=errors, piece_bytes=chunk_bytes) for path in paths]
    if errors == "strict":
        chunks = ByteChunks(open_files(paths), cutter, chunk_bytes)
        try:
            _count_chunks(chunks, tables, on_read)
        except NotUtf8Error:
            _raise_for_invalid(files)
        finally:
            chunks.close()
        num_bytes = chunks.num_bytes
    else:
        _count_texts(files, cutter, tables[0], on_read)
        num_bytes = sum(file.num_bytes for file in files)
    total = max(tables, key=len)
    for table in tables:
        if table is not total:
            total.add(table)
    return KernelCounts(
        counts=total,
        num_bytes=num_bytes,
        num_replacements={
            file.path: file.num_replacements for file in files if file.num_replacements
        },
    )


def _count_chunks(
    chunks: ByteChunks, tables: Sequence[PretokenTable], on_read: Callable[[int], None] | None
) -> None:
    def work(table: PretokenTable, report: Callable[[int], None] | None) -> None:
        buffer = chunks.new_buffer()
        try:
            while True:
                buffer, length, _ = chunks.read(buffer)
                if not length:
                    return
                if not table.count(buffer.ctypes.data, length):
                    raise NotUtf8Error
                if report is not None:
                    report(chunks.num_bytes)
        finally:
            # After an error the other threads end with the chunk that they have.
            chunks.close()

    with ThreadPoolExecutor(max(1, len(tables) - 1)) as executor:
        # This thread works too; it is the one that reports, and that Ctrl-C interrupts.
        others = [executor.submit(work, table, None) for table in tables[1:]]
        work(tables[0], on_read)
        for other in others:
            other.result()
    if on_read is not None and others:
        on_read(chunks.num_bytes)


def _count_texts(
    files: Sequence[TextFile],
    cutter: ChunkCutter,
    table: PretokenTable,
    on_read: Callable[[int], None] | None,
) -> None:
    """Count text that was decoded, with malformed bytes replaced: rare, so in one thread."""
    for text in chain.from_iterable(cut_chunks(file, cutter) for file in files):
        data = text.encode()
        padded = np.frombuffer(data + bytes(PADDING), np.uint8)
        table.count(padded.ctypes.data, len(data))
        if on_read is not None:
            on_read(sum(file.num_bytes for file in files))


def _raise_for_invalid(files: Sequence[TextFile]) -> None:
    """Find the first byte that is not UTF-8, as the reference does, for its message."""
    for file in files:
        for _ in file:
            pass
    raise ValueError(f"{files[0].path}: changed while it was read")
