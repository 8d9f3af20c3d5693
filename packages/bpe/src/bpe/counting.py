"""Count the distinct pretokens of text files, over processes when there is much to count.

The counts do not depend on the number of workers or on the size of the chunks, and memory grows
with the number of distinct pretokens, not with the files.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

from bpe.byte_stream import likely_size
from bpe.chunking import Chunk, ChunkCutter
from bpe.open_text import open_text
from bpe.patterns import compile_pattern
from bpe.pretoken_counts import PretokenCounts
from bpe.pretokenize import split_pretokens
from bpe.specials import split_on_specials
from bpe.text_source import TextSource

CHUNK_BYTES = 2 << 20
# Below this many bytes starting processes takes longer than counting.
PARALLEL_FROM_BYTES = 16 << 20


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
) -> PretokenCounts:
    """Count the pretokens of files; special tokens are cut out and not counted.

    A pretoken never spans two files, nor two documents of one. `workers=None` takes all CPUs for
    large files and no extra process for small ones. `on_read` is called with the number of bytes
    read so far, of the files as they are stored.

    Raises OSError for a file that cannot be read, ValueError for one that is not UTF-8 and
    ChildProcessError when a worker process dies.
    """
    cutter = ChunkCutter(compile_pattern(pattern), special_tokens)
    files = [
        open_text(path, column=column, errors=errors, piece_bytes=chunk_bytes) for path in paths
    ]
    chunks = chain.from_iterable(file.chunks(cutter) for file in files)

    count = partial(count_chunk, tuple(special_tokens), pattern)
    if workers is None:
        workers = _suggest_workers(paths, chunk_bytes)
    if workers == 1:
        parts: Iterator[Counter[str]] = map(count, chunks)
    else:
        # Imported here: multiprocessing would take a fifth of the time of a small training.
        from bpe.processes import map_unordered

        parts = map_unordered(count, chunks, workers=workers)

    return add_up(
        parts, files, special_tokens=special_tokens, pattern=pattern, errors=errors, on_read=on_read
    )


def add_up(
    parts: Iterable[Mapping[str, int]],
    files: Sequence[TextSource],
    *,
    special_tokens: Iterable[str],
    pattern: str,
    errors: str,
    on_read: Callable[[int], object] | None,
) -> PretokenCounts:
    """Sum the counts of all chunks of `files` as they come."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
        if on_read is not None:
            on_read(sum(file.num_read for file in files))
    return PretokenCounts(
        counts=dict(total),
        num_bytes=sum(file.num_bytes for file in files),
        num_replacements={
            file.path: file.num_replacements for file in files if file.num_replacements
        },
        special_tokens=tuple(special_tokens),
        pattern=pattern,
        errors=errors,
    )


def count_chunk(special_tokens: tuple[str, ...], pattern: str, chunk: Chunk) -> Counter[str]:
    """Count the pretokens of the texts of one chunk."""
    compiled = compile_pattern(pattern)
    counts: Counter[str] = Counter()
    for text in chunk.texts:
        for piece, is_special in split_on_specials(text, special_tokens):
            if not is_special:
                counts.update(split_pretokens(compiled, piece))
    return counts


def _suggest_workers(paths: Sequence[str | os.PathLike[str]], chunk_bytes: int) -> int:
    num_bytes = sum(map(likely_size, paths))
    if num_bytes < PARALLEL_FROM_BYTES:
        return 1
    from bpe.processes import available_cpus, may_start_processes

    if not may_start_processes():
        return 1
    return min(available_cpus(), -(-num_bytes // chunk_bytes))
