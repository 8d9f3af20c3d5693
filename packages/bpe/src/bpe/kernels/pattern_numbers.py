"""How kernels call the patterns that they know: by numbers, which need no numba to be imported."""

from collections.abc import Mapping
from types import MappingProxyType

from bpe.patterns import PATTERNS

GPT2 = 0
CL100K = 1
O200K = 2
LLAMA3 = 3

_NUMBERS: Mapping[str, int] = MappingProxyType(
    {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K, "llama3": LLAMA3}
)


def pattern_number(name_or_regex: str) -> int | None:
    """Return the number of the named pattern, also if it is spelled out; None for any other."""
    for name, number in _NUMBERS.items():
        if name_or_regex in (name, PATTERNS[name]):
            return number
    return None
