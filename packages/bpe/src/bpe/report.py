"""Measure what a tokenizer does to a text: compression, throughput, the tokens it uses."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from os import PathLike
from typing import TYPE_CHECKING

from bpe.chunking import ChunkCutter
from bpe.open_text import open_text
from bpe.patterns import compile_pattern
from bpe.text_encoder import LOAD_FROM
from bpe.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bpe.token_file import TokenArray

# Enough for all threads of the kernels, and for decoding to call for them.
_PIECE_BYTES = 8 << 20
# Characters after which a tokenizer has loaded the kernels, if they are compiled.
_WARM_UP = LOAD_FROM


@dataclass(frozen=True)
class Report:
    """The measures of one tokenizer on one text. Times are in seconds.

    `counts` maps each id that occurs to how often it does.
    """

    num_bytes: int
    num_tokens: int
    counts: dict[int, int]
    encode_seconds: float
    decode_seconds: float

    @property
    def bytes_per_token(self) -> float:
        """How much text a token stands for, on average."""
        return self.num_bytes / self.num_tokens


def measure(
    tokenizer: Tokenizer,
    path: str | PathLike[str],
    *,
    errors: str = "strict",
    column: str = "text",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Encode a text file and decode its ids, piece by piece in bounded memory, and measure it.

    Throughput is that of a tokenizer at work: the loading of its engine is left out, and so is the
    reading of the file. `progress` is called with the bytes read and the bytes in all. Raises
    ValueError for a file that is empty or not UTF-8, OSError for one that cannot be read.
    """
    # numpy takes longer to import than the rest of the package.
    import numpy as np

    text = open_text(
        path, column=column, errors=errors, progress=progress, piece_bytes=_PIECE_BYTES
    )
    cutter = ChunkCutter(compile_pattern(tokenizer.pattern), [*tokenizer.special_tokens])
    counts = np.zeros(tokenizer.vocab_size, np.int64)
    encode_seconds = decode_seconds = 0.0
    for number, chunk in enumerate(text.chunks(cutter)):
        if not number:
            tokenizer.decode_bytes(tokenizer.encode_array(chunk.texts[0][:_WARM_UP]))
        start = time.perf_counter()
        if len(chunk.texts) == 1:
            ids: Sequence[int] | TokenArray = tokenizer.encode_array(chunk.texts[0])
        else:
            ids = [*chain.from_iterable(tokenizer.encode_batch(chunk.texts))]
        encoded = time.perf_counter()
        tokenizer.decode_bytes(ids)
        decode_seconds += time.perf_counter() - encoded
        encode_seconds += encoded - start
        counts += np.bincount(ids, minlength=len(counts))
    if not counts.any():
        raise ValueError(f"{text.path}: no text to measure (0 bytes)")
    used = {int(token_id): int(counts[token_id]) for token_id in counts.nonzero()[0]}
    return Report(text.num_bytes, int(counts.sum()), used, encode_seconds, decode_seconds)


def share_of_tenths(counts: Mapping[int, int], vocab_size: int) -> list[tuple[range, float]]:
    """Return the ids of each tenth of a vocabulary, and their share of all tokens counted.

    Ids are in the order in which merges were learned, so this tells what the later ones are worth.
    """
    borders = [vocab_size * tenth // 10 for tenth in range(11)]
    total = sum(counts.values())
    return [
        (range(first, end), sum(counts.get(i, 0) for i in range(first, end)) / total)
        for first, end in pairwise(borders)
    ]
