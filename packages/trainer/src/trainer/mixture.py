"""Several texts in one token array, drawn from in given proportions.

`prepare` writes the files of a corpus one after the other into one array and notes how many tokens
each has. A mixture then says how often a sequence comes from each of them, however long it is: with
weights 3 and 1, three sequences of four come from the first. No window reads on into another file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bpe.token_file import TokenArray

# Ids searched at a time: a file larger than memory must not become an array as large.
_SEARCHED = 1 << 24


@dataclass(frozen=True)
class Mixture:
    """Parts of a token array, one after the other, and how often each is drawn from.

    Only the ratio of the weights counts.
    """

    sizes: tuple[int, ...]
    """Tokens of each part."""
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.sizes):
            raise ValueError(
                f"data.weights has {len(self.weights)} numbers, but the corpus has "
                f"{len(self.sizes)} file(s): give one weight for each"
            )
        check_weights(self.weights)

    def check_context(self, names: Sequence[str], context_length: int) -> None:
        """Raise ValueError that names the first part too short to draw a window from."""
        for name, size, weight in zip(names, self.sizes, self.weights, strict=True):
            if weight and size < context_length + 1:
                raise ValueError(
                    f"{name}: {size} tokens to learn from are too few for a window of "
                    f"model.context_length + 1 = {context_length + 1}: give it the weight 0 or "
                    f"lower --model.context-length"
                )

    def starts(self, raw: npt.NDArray[np.uint64], context_length: int) -> npt.NDArray[np.int64]:
        """Turn random numbers, two to a row, into places where windows begin.

        The first number decides the part, the second the place in it.
        """
        shares = np.cumsum(self.weights) / math.fsum(self.weights)
        # 53 bits, as many as a float64 holds: a number in [0, 1) that is the same everywhere.
        part = np.searchsorted(shares[:-1], (raw[:, 0] >> np.uint64(11)) * 2.0**-53, side="right")
        sizes = np.array(self.sizes, dtype=np.int64)
        room = np.maximum(sizes - context_length, 1)[part]
        begins = (np.cumsum(sizes) - sizes)[part]
        return begins + (raw[:, 1] % room.astype(np.uint64)).astype(np.int64)


def check_weights(weights: Sequence[float]) -> None:
    """Raise ValueError unless the weights are finite, not negative, and one is positive."""
    for index, weight in enumerate(weights):
        if not 0 <= weight < math.inf:
            raise ValueError(f"data.weights[{index}]={weight} is not a number from 0 on")
    if weights and not any(weights):
        raise ValueError("data.weights are all 0: one must be positive")


def part_sizes(tokens: TokenArray, separator: int, marks: Sequence[int]) -> list[int]:
    """Return the tokens of each part, if it ends with so many separators before its end in all.

    The last part takes what is left.
    """
    places = separator_places(tokens, separator)
    ends = [int(places[count - 1]) + 1 if count else 0 for count in marks[:-1]]
    return [int(size) for size in np.diff([0, *ends, len(tokens)])]


def contains(tokens: TokenArray, token_id: int) -> bool:
    """Tell whether the id stands anywhere in the tokens."""
    return any(
        bool((tokens[first : first + _SEARCHED] == token_id).any())
        for first in range(0, len(tokens), _SEARCHED)
    )


def separator_places(tokens: TokenArray, separator: int) -> npt.NDArray[np.int64]:
    """Return where `separator` stands in the tokens."""
    found = [
        np.flatnonzero(tokens[first : first + _SEARCHED] == separator) + first
        for first in range(0, len(tokens), _SEARCHED)
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *found]).astype(np.int64)
