"""Count the pretokens of files on a Ray cluster (`bpe[ray]`).

This process reads the files and deals their chunks out; counts are sums, so the result does not
depend on where a chunk was counted, nor on how often it had to be.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial

from bpe.chunking import Chunk, ChunkCutter
from bpe.counting import CHUNK_BYTES, add_up, count_chunk
from bpe.engines import has_kernels
from bpe.kernels.pattern_numbers import pattern_number
from bpe.open_text import open_text
from bpe.patterns import compile_pattern
from bpe.pretoken_counts import PretokenCounts
from bpe.ray_cluster import map_on_ray


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
    """Do what `bpe.counting.count_pretokens` does; `workers` count at once, None for all CPUs."""
    cutter = ChunkCutter(compile_pattern(pattern), special_tokens)
    files = [
        open_text(path, column=column, errors=errors, piece_bytes=chunk_bytes) for path in paths
    ]
    chunks = (chunk for file in files for chunk in file.chunks(cutter))
    make = partial(_counter, tuple(special_tokens), pattern)
    parts = map_on_ray(make, chunks, workers=workers)
    return add_up(
        parts, files, special_tokens=special_tokens, pattern=pattern, errors=errors, on_read=on_read
    )


def _counter(special_tokens: tuple[str, ...], pattern: str) -> Callable[[Chunk], dict[str, int]]:
    """Return what counts a chunk, where it is called: by kernels if that machine has them."""
    number = pattern_number(pattern)
    if number is None or not has_kernels():
        return partial(count_chunk, special_tokens, pattern)
    from bpe.kernels.counting import count_texts
    from bpe.kernels.pretoken_table import PretokenTable

    def count(chunk: Chunk) -> dict[str, int]:
        table = PretokenTable(number, special_tokens)
        count_texts(table, chunk.texts)
        return {pretoken.decode(): times for pretoken, times in table.items()}

    return count
