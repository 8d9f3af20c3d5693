"""What commands say about what they did, in words."""

from collections.abc import Collection, Mapping

from bpe.peak_memory import peak_memory
from bpe.terminal import show_tokens


def memory_fact() -> dict[str, str]:
    """Return the peak memory of this process as a fact, where the system tells."""
    memory = peak_memory()
    return {} if memory is None else {"peak memory": f"{memory / 1e6:,.0f} MB"}


def longest(vocab: Mapping[int, bytes], special_tokens: Collection[str]) -> str:
    """Return the longest tokens that are not special, as many as fit into a line."""
    specials = {special.encode() for special in special_tokens}
    ordinary = [token for token in vocab.values() if token not in specials]
    return show_tokens(sorted(ordinary, key=len, reverse=True))


def plural(count: int, noun: str) -> str:
    """Return the count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
