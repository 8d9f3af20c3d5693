"""Cut text into pretokens by the pattern of that number."""

from bpe.kernels.compiler import inlined
from bpe.kernels.pattern_numbers import CL100K, GPT2, LLAMA3
from bpe.kernels.scan_cl100k import scan_cl100k
from bpe.kernels.scan_gpt2 import scan_gpt2
from bpe.kernels.scan_o200k import scan_o200k


@inlined
def scan(pattern: int, start: int, stop: int, classes: int, ends: int, capacity: int) -> int:
    """Store the ends (addresses) of the pretokens of the text from `start` to `stop`.

    Returns how many it stored, which may be fewer than all: go on at the last of them. Returns -1
    if the text is not UTF-8. `ends` has room for `capacity` + 8 words, `capacity` is 128 at least,
    and 64 bytes behind `stop` can be read.
    """
    if pattern == GPT2:
        return scan_gpt2(start, stop, classes, ends, capacity)
    if pattern == CL100K:
        return scan_cl100k(start, stop, classes, ends, capacity, 1)
    if pattern == LLAMA3:
        return scan_cl100k(start, stop, classes, ends, capacity, 0)
    return scan_o200k(start, stop, classes, ends, capacity)


def scan_text(pattern: int, start: int, stop: int, classes: int, ends: int, capacity: int) -> int:
    """Do what `scan` does, for callers in Python."""
    return scan(pattern, start, stop, classes, ends, capacity)
