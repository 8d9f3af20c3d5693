"""Count the distinct pretokens of files in threads: the kernels run without the interpreter lock.

Every thread has a buffer and a table of its own; in the end the tables are added up. Counts are
sums, so the result does not depend on which thread took which chunk.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np

from bpe.byte_stream import is_pipe, likely_size
from bpe.chunking import ChunkCutter
from bpe.counting import CHUNK_BYTES
from bpe.counting import count_pretokens as count_by_regex
from bpe.kernels.byte_chunks import PADDING, ByteChunks, NotUtf8Error, open_files
from bpe.kernels.pattern_numbers import GPT2, pattern_number
from bpe.kernels.pretoken_table import PretokenTable
from bpe.open_text import open_text
from bpe.patterns import compile_pattern
from bpe.processes import available_cpus
from bpe.text_file import TextFile, raise_for_invalid
from bpe.text_source import TextSource


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
    column: str = "text",
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
            column=column,
            on_read=on_read,
        )
        return KernelCounts(table_of(found.counts), found.num_bytes, found.num_replacements)
    if workers is None:
        workers = max(1, min(available_cpus(), sum(map(likely_size, paths)) // chunk_bytes))
    tables = [PretokenTable(number, special_tokens) for _ in range(workers)]
    cutter = ChunkCutter(compile_pattern(pattern), special_tokens)
    files = [
        open_text(path, column=column, errors=errors, piece_bytes=chunk_bytes) for path in paths
    ]
    # The bytes of plain text go to the kernels as they are. Of a pipe they must be decoded: what is
    # not UTF-8 in it could not be looked for afterwards.
    plain = [
        file
        for file in files
        if isinstance(file, TextFile) and errors == "strict" and not is_pipe(file.path)
    ]
    others = [file for file in files if file not in plain]
    chunks = ByteChunks(open_files(file.path for file in plain), cutter, chunk_bytes)
    try:
        _count_chunks(chunks, tables, on_read)
    except NotUtf8Error:
        raise_for_invalid(plain)
    finally:
        chunks.close()

    def report_others(num_read: int) -> None:
        if on_read is not None:
            on_read(chunks.num_read + num_read)

    _count_decoded(others, cutter, tables, report_others)
    total = max(tables, key=len)
    for table in tables:
        if table is not total:
            total.add(table)
    return KernelCounts(
        counts=total,
        num_bytes=chunks.num_bytes + sum(file.num_bytes for file in others),
        num_replacements={
            file.path: file.num_replacements for file in others if file.num_replacements
        },
    )


def table_of(counts: Mapping[str, int]) -> PretokenTable:
    """Return a table of counts that were made elsewhere, under whatever pattern."""
    table = PretokenTable(GPT2, ())
    table.add_counts({pretoken.encode(): count for pretoken, count in counts.items()})
    return table


def count_texts(table: PretokenTable, texts: Iterable[str]) -> None:
    """Count texts, each by itself."""
    for text in texts:
        data = text.encode()
        padded = np.frombuffer(data + bytes(PADDING), np.uint8)
        table.count(padded.ctypes.data, len(data))


def _count_chunks(
    chunks: ByteChunks, tables: Sequence[PretokenTable], on_read: Callable[[int], None] | None
) -> None:
    def work(table: PretokenTable, is_first: bool) -> None:
        buffer = chunks.new_buffer()
        try:
            while True:
                buffer, length, _ = chunks.read(buffer)
                if not length:
                    return
                if not table.count(buffer.ctypes.data, length):
                    raise NotUtf8Error
                if is_first and on_read is not None:
                    on_read(chunks.num_read)
        finally:
            # After an error the other threads end with the chunk that they have.
            chunks.close()

    _in_threads(work, tables)
    if on_read is not None and len(tables) > 1 and chunks.num_read:
        on_read(chunks.num_read)


def _count_decoded(
    files: Sequence[TextSource],
    cutter: ChunkCutter,
    tables: Sequence[PretokenTable],
    on_read: Callable[[int], None],
) -> None:
    """Count texts that Python has decoded: documents, and where malformed bytes are replaced."""
    chunks = (chunk for file in files for chunk in file.chunks(cutter))
    lock = Lock()

    def work(table: PretokenTable, is_first: bool) -> None:
        try:
            while True:
                with lock:
                    chunk = next(chunks, None)
                if chunk is None:
                    return
                count_texts(table, chunk.texts)
                if is_first:
                    on_read(sum(file.num_read for file in files))
        finally:
            # After an error the other threads end with the chunk that they have.
            with lock:
                chunks.close()

    if files:
        _in_threads(work, tables)
        on_read(sum(file.num_read for file in files))


def _in_threads(
    work: Callable[[PretokenTable, bool], None], tables: Sequence[PretokenTable]
) -> None:
    """Do the work for each table in a thread of its own."""
    with ThreadPoolExecutor(max(1, len(tables) - 1)) as executor:
        # This thread works too; it is the one that reports, and that Ctrl-C interrupts.
        others = [executor.submit(work, table, False) for table in tables[1:]]
        work(tables[0], True)
        for other in others:
            other.result()
