"""What all work with a tokenizer library begins with, and how it is timed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tokenizer_corpus import SEPARATOR

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def documents(corpus: Path) -> Iterator[str]:
    """Yield the documents of the corpus, in constant memory."""
    rest = ""
    with corpus.open(encoding="utf-8", newline="") as file:
        while piece := file.read(1 << 20):
            *whole, rest = (rest + piece).split(SEPARATOR)
            yield from whole
    if rest:
        yield rest


class Seconds(NamedTuple):
    """How long something took by the clock, and how much time of processors, all threads added."""

    wall: float
    cpu: float


Timed = tuple[Seconds, Any]


def measured(function: Callable[[], Any]) -> Timed:
    start, busy = time.perf_counter(), time.process_time()
    result = function()
    return Seconds(time.perf_counter() - start, time.process_time() - busy), result
