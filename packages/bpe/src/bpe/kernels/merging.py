"""Learn merges from a table of pretokens: the memory, and what its kernels ask for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpe.kernels import library
from bpe.kernels.merge_state import (
    BY_RANK,
    BYTES,
    BYTES_SIZE,
    BYTES_USED,
    DONE,
    FILTER,
    FILTER_SIZE,
    FREE,
    HEAP,
    HEAP_BYTES,
    HEAP_SIZE,
    LENGTHS,
    MAX_TOKENS,
    MERGES,
    NO_BYTES,
    NO_HEAP,
    NO_PAIR,
    NO_PLACES,
    NO_SLOTS,
    NUM_SYMBOLS,
    NUM_TOKENS,
    NUM_WORDS,
    PLACES,
    PLACES_SIZE,
    SIDES,
    SLOT_BYTES,
    SLOT_MASK,
    SLOTS,
    SYMBOLS,
    THRESHOLD,
    TOKENS,
    TOUCHED,
    WEIGHTS,
)
from bpe.kernels.pretoken_table import PretokenTable
from bpe.merging import TieBreak, huggingface_ranks

_FIRST_SLOTS = 1 << 12
_MERGES_PER_REPORT = 100


class Merger:
    """The symbols of some pretokens, and the pairs in them that are followed.

    Pairs that are rarer than a threshold are not followed until no others are left; then it is
    lowered. What the first one is changes how long this takes, but not the merges.
    """

    def __init__(
        self,
        table: PretokenTable,
        num_merges: int,
        ranks: Sequence[int] | None,
        first_threshold: int | None = None,
    ) -> None:
        self._kernels = library.load("training")
        self._state = np.zeros(NUM_WORDS, np.int64)
        self._arrays: dict[int, NDArray[Any]] = {}
        sizes = np.empty(2, np.int64)
        self._kernels["measure_pretokens"](table.address, sizes.ctypes.data)
        num_pretokens, num_bytes = sizes.tolist()
        num_symbols = num_pretokens + num_bytes + 1
        if num_symbols > 1 << 32:
            # Places have half a word for a position.
            raise ValueError(
                f"the distinct pretokens have {num_bytes:,} bytes, too many for the kernels; "
                'take engine="reference", or a pattern that cuts them shorter'
            )
        symbols = self._hold(SYMBOLS, np.empty(num_symbols, np.int32))
        weights = self._hold(WEIGHTS, np.zeros(num_pretokens + 1, np.int64))
        self._state[NUM_SYMBOLS] = num_symbols
        self._kernels["spread_pretokens"](table.address, symbols, weights)

        num_tokens = 256 + num_merges
        tokens = np.zeros((num_tokens, 4), np.int64)
        tokens[:256, 0] = np.arange(256) << 56
        tokens[:256, 1] = 1
        tokens[:256, 2] = np.arange(256)
        tokens[:256, 3] = np.arange(256) if ranks is None else ranks
        self._hold(TOKENS, tokens)
        self._hold(LENGTHS, np.ones(num_tokens, np.int32))
        self._hold(BYTES, np.concatenate([np.arange(256), np.zeros(1 << 16)]).astype(np.uint8))
        self._hold(MERGES, np.zeros(num_merges, np.int64))
        self._hold(SIDES, np.zeros((num_tokens, 4), np.int64))
        self._hold(TOUCHED, np.empty((2, num_tokens), np.int32))
        self._hold(SLOTS, np.empty((_FIRST_SLOTS, SLOT_BYTES // 8), np.int64))
        self._state[SLOT_MASK] = _FIRST_SLOTS - 1
        self._state[MAX_TOKENS] = num_tokens
        self._state[NUM_TOKENS] = 256
        self._state[BYTES_USED] = 256
        self._state[BYTES_SIZE] = 256 + (1 << 16)
        self._state[BY_RANK] = ranks is not None
        guess = _guess_threshold(self._arrays[WEIGHTS], num_merges)
        self._state[THRESHOLD] = guess if first_threshold is None else first_threshold
        self._index()

    def merge(self, num_merges: int) -> bool:
        """Go on until so many merges are made in all; False if no pair is left before that."""
        while True:
            outcome = self._call("merge_pairs", 256 + num_merges)
            if outcome == DONE:
                return True
            if outcome == NO_PAIR:
                if self._state[THRESHOLD] == 1:
                    return False
                self._state[THRESHOLD] = max(1, self._state[THRESHOLD] // 4)
                self._index()
            elif outcome == NO_PLACES:
                self._index()
            elif outcome == NO_SLOTS:
                self._enlarge_slots()
            elif outcome == NO_HEAP:
                self._enlarge(HEAP, HEAP_SIZE)
            else:
                assert outcome == NO_BYTES
                self._enlarge(BYTES, BYTES_SIZE)

    def merges(self, start: int) -> list[tuple[int, int]]:
        """Return the pairs of tokens merged so far, from the merge `start` on."""
        merges = self._arrays[MERGES][start : int(self._state[NUM_TOKENS]) - 256]
        return list(zip((merges >> 32).tolist(), (merges & 0xFFFF_FFFF).tolist(), strict=True))

    def _index(self) -> None:
        self._hold(FILTER, np.empty(FILTER_SIZE, np.int64))
        self._call("sum_pairs")
        while self._call("count_pairs") == NO_SLOTS:
            num_slots = 4 * (int(self._state[SLOT_MASK]) + 1)
            self._hold(SLOTS, np.empty((num_slots, SLOT_BYTES // 8), np.int64))
            self._state[SLOT_MASK] = num_slots - 1
        sizes = np.empty(2, np.int64)
        self._call("measure_pairs", sizes.ctypes.data)
        num_pairs, num_places = sizes.tolist()
        # Merging one pair can ask for twice its places: there is room for that whichever it is.
        self._state[PLACES_SIZE] = 3 * num_places + (1 << 16)
        self._hold(PLACES, np.empty(int(self._state[PLACES_SIZE]), np.int64))
        self._state[HEAP_SIZE] = 2 * num_pairs + (1 << 12)
        self._hold(HEAP, np.empty((int(self._state[HEAP_SIZE]), HEAP_BYTES // 8), np.int64))
        self._call("place_pairs")
        self._release(FILTER)

    def _enlarge_slots(self) -> None:
        num_slots = 2 * (int(self._state[SLOT_MASK]) + 1)
        slots = np.full((num_slots, SLOT_BYTES // 8), FREE, np.int64)
        self._call("move_slots", slots.ctypes.data, num_slots)
        self._hold(SLOTS, slots)

    def _enlarge(self, array: int, size: int) -> None:
        old = self._arrays[array]
        new = np.empty((2 * len(old), *old.shape[1:]), old.dtype)
        new[: len(old)] = old
        self._hold(array, new)
        self._state[size] = len(new)

    def _hold(self, word: int, array: NDArray[Any]) -> int:
        self._arrays[word] = array
        self._state[word] = array.ctypes.data
        return array.ctypes.data

    def _release(self, word: int) -> None:
        del self._arrays[word]
        self._state[word] = 0

    def _call(self, kernel: str, *arguments: int) -> int:
        return self._kernels[kernel](self._state.ctypes.data, *arguments)


def _guess_threshold(weights: NDArray[np.int64], num_merges: int) -> int:
    """Guess a count that the last merge will still reach.

    In all corpora that were tried the count of merge n lay between one and four times that of the
    n-th most frequent pretoken. A guess too high costs another pass over the symbols.
    """
    rank = len(weights) - num_merges
    return max(1, int(np.partition(weights, rank)[rank])) if rank > 0 else 1


def learn_merges(
    table: PretokenTable,
    num_merges: int,
    *,
    tie_break: TieBreak = "bytes",
    on_merge: Callable[[bytes], None] | None = None,
) -> list[tuple[bytes, bytes]]:
    """Do what `bpe.merging.learn_merges` does with the counts of `table`, which is cleared."""
    if num_merges == 0:
        table.clear()
        return []
    merger = Merger(table, num_merges, huggingface_ranks() if tie_break == "huggingface" else None)
    table.clear()
    tokens = [bytes([byte]) for byte in range(256)]
    merges: list[tuple[bytes, bytes]] = []
    step = _MERGES_PER_REPORT if on_merge is not None else num_merges
    is_going = True
    while is_going and len(merges) < num_merges:
        is_going = merger.merge(min(num_merges, len(merges) + step))
        for left, right in merger.merges(len(merges)):
            merges.append((tokens[left], tokens[right]))
            tokens.append(tokens[left] + tokens[right])
            if on_merge is not None:
                on_merge(tokens[-1])
    return merges
