"""Count the distinct pretokens of text files, over processes when there is much to count.

The counts do not depend on the number of workers or on the size of the chunks, and memory grows
with the number of distinct pretokens, not with the files.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from bpe.chunking import ChunkCutter, cut_chunks
from bpe.patterns import compile_pattern
from bpe.pretokenize import split_pretokens
from bpe.specials import split_on_specials
from bpe.text_file import TextFile

CHUNK_BYTES = 2 << 20
# Below this many bytes starting processes takes longer than counting.
PARALLEL_FROM_BYTES = 16 << 20


@dataclass(frozen=True)
class PretokenCounts:
    """What was found in some files: how often each pretoken, in how many bytes.

    `num_replacements` maps each file that was not UTF-8 to how many malformed sequences in it were
    read as U+FFFD.
    """

    counts: dict[str, int]
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
) -> PretokenCounts:
    """Count the pretokens of UTF-8 files; special tokens are cut out and not counted.

    A pretoken never spans two files. `workers=None` takes all CPUs for large files and no extra
    process for small ones. `on_read` is called with the number of bytes read so far.

    Raises OSError for a file that cannot be read, ValueError for one that is not UTF-8 and
    ChildProcessError when a worker process dies.
    """
    cutter = ChunkCutter(compile_pattern(pattern), special_tokens)
    files = [TextFile(path, errors=errors, piece_bytes=chunk_bytes) for path in paths]
    chunks = chain.from_iterable(cut_chunks(file, cutter) for file in files)

    count = partial(_count_chunk, tuple(special_tokens), pattern)
    if workers is None:
        workers = _suggest_workers(paths, chunk_bytes)
    if workers == 1:
        parts: Iterator[Counter[str]] = map(count, chunks)
    else:
        # Imported here: multiprocessing would take a fifth of the time of a small training.
        from bpe.processes import map_unordered

        parts = map_unordered(count, chunks, workers=workers)

    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
        if on_read is not None:
            on_read(sum(file.num_bytes for file in files))
    return PretokenCounts(
        counts=dict(total),
        num_bytes=sum(file.num_bytes for file in files),
        num_replacements={
            file.path: file.num_replacements for file in files if file.num_replacements
        },
    )


def _count_chunk(special_tokens: tuple[str, ...], pattern: str, text: str) -> Counter[str]:
    compiled = compile_pattern(pattern)
    counts: Counter[str] = Counter()
    for piece, is_special in split_on_specials(text, special_tokens):
        if not is_special:
            counts.update(split_pretokens(compiled, piece))
    return counts


def _suggest_workers(paths: Sequence[str | os.PathLike[str]], chunk_bytes: int) -> int:
    num_bytes = sum(Path(path).stat().st_size for path in paths)
    if num_bytes < PARALLEL_FROM_BYTES:
        return 1
    from bpe.processes import available_cpus, may_start_processes

    if not may_start_processes():
        return 1
    return min(available_cpus(), -(-num_bytes // chunk_bytes))
