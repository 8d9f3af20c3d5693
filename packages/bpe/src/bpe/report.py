"""Measure what a tokenizer does to a text: compression, throughput, the tokens it uses, memory."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from os import PathLike

from bpe.text_source import open_text
from bpe.tokenizer import Tokenizer

_BATCH_TOKENS = 1 << 16


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

    `progress` is called with the bytes read and the bytes in all. Raises ValueError for a file
    that is empty or not UTF-8, OSError for one that cannot be read.
    """
    text = open_text(path, column=column, errors=errors, progress=progress)
    ids = chain.from_iterable(map(tokenizer.encode_iterable, text.documents()))
    counts: Counter[int] = Counter()
    encode_seconds = decode_seconds = 0.0
    while True:
        start = time.perf_counter()
        batch = list(islice(ids, _BATCH_TOKENS))
        encoded = time.perf_counter()
        tokenizer.decode_bytes(batch)
        decode_seconds += time.perf_counter() - encoded
        encode_seconds += encoded - start
        if not batch:
            break
        counts.update(batch)
    if not counts:
        raise ValueError(f"{text.path}: no text to measure (0 bytes)")
    return Report(text.num_bytes, counts.total(), dict(counts), encode_seconds, decode_seconds)


def peak_memory() -> int | None:
    """Return the largest memory that this process, or one that it started, has held, in bytes.

    None where the system does not tell (Windows).
    """
    if sys.platform == "win32":
        return None
    import resource

    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    largest = max(resource.getrusage(who).ru_maxrss for who in whom)
    # In bytes on macOS, in kibibytes elsewhere.
    return largest if sys.platform == "darwin" else largest * 1024
