"""A table of pretokens and their counts, filled by the kernels of `count`.

It owns the memory that they work in and enlarges it when they ask. One thread uses it at a time.
"""

import ctypes
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bpe.kernels import library
from bpe.kernels.byte_chunks import PADDING
from bpe.kernels.count_state import (
    ARENA,
    ARENA_FULL,
    ARENA_NEEDED,
    ARENA_SIZE,
    ARENA_USED,
    CLASSES,
    DONE,
    LONGEST_SHORT,
    NOT_UTF8,
    NUM_USED,
    NUM_WORDS,
    PATTERN,
    POSITION,
    SCRATCH,
    SCRATCH_WORDS,
    SLOT_BYTES,
    SLOT_MASK,
    SLOTS,
    TABLE_FULL,
    TRIE,
)
from bpe.kernels.special_trie import build_trie

_FIRST_SLOTS = 1 << 14
_FIRST_ARENA_BYTES = 1 << 16


class PretokenTable:
    """Counts of pretokens under one pattern; text between special tokens is counted."""

    def __init__(self, pattern_number: int, specials: Sequence[str]) -> None:
        self._kernels = library.load("training")
        self._classes = library.class_table()
        self._trie = build_trie(dict.fromkeys(specials, 0))
        self._scratch = np.empty(SCRATCH_WORDS, np.int64)
        self._state = np.zeros(NUM_WORDS, np.int64)
        self._state[CLASSES] = ctypes.addressof(self._classes)
        self._state[TRIE] = self._trie.ctypes.data if specials else 0
        self._state[PATTERN] = pattern_number
        self._state[SCRATCH] = self._scratch.ctypes.data
        self.clear()

    def __len__(self) -> int:
        """Return the number of distinct pretokens."""
        return int(self._state[NUM_USED])

    @property
    def address(self) -> int:
        """The address of the state, for kernels that read the table."""
        return self._state.ctypes.data

    def count(self, address: int, length: int) -> bool:
        """Count the text at `address`, behind which 64 bytes can be read; False if not UTF-8."""
        self._state[POSITION] = address
        while True:
            outcome = self._kernels["count_text"](self._state.ctypes.data, address + length)
            if outcome == DONE:
                return True
            if outcome == NOT_UTF8:
                return False
            if outcome == TABLE_FULL:
                self._enlarge_slots(2 * len(self._slots))
            else:
                assert outcome == ARENA_FULL
                self._enlarge_arena(int(self._state[ARENA_NEEDED]))

    def add(self, other: "PretokenTable") -> None:
        """Add the counts of `other`."""
        self._make_room(len(other), int(other._state[ARENA_USED]))
        self._kernels["add_table"](self._state.ctypes.data, other._state.ctypes.data)

    def add_counts(self, counts: Mapping[bytes, int]) -> None:
        """Add counts of pretokens, which may be those of any pattern."""
        pretokens = list(counts)
        text = np.frombuffer(b"".join([*pretokens, bytes(PADDING)]), np.uint8)
        lengths = np.fromiter(map(len, pretokens), np.int64, len(pretokens))
        ends = text.ctypes.data + np.cumsum(lengths)
        numbers = np.fromiter(counts.values(), np.int64, len(pretokens))
        self._make_room(len(pretokens), len(text))
        self._kernels["add_pretokens"](
            self._state.ctypes.data,
            text.ctypes.data,
            ends.ctypes.data,
            numbers.ctypes.data,
            len(pretokens),
        )

    def clear(self) -> None:
        """Forget all counts, and give their memory back."""
        self._state[NUM_USED] = 0
        self._state[ARENA_USED] = 0
        self._set_slots(np.zeros((_FIRST_SLOTS, SLOT_BYTES // 8), np.int64))
        self._set_arena(np.empty(_FIRST_ARENA_BYTES, np.uint8))

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Yield the pretokens and their counts, in no particular order."""
        arena = self._arena.tobytes()
        taken = self._slots[self._slots[:, 2] != 0]
        for low, high, count, offset in taken.tolist():
            length = high >> 56
            if 0 < length <= LONGEST_SHORT:
                data = low.to_bytes(8, "little", signed=True)
                data += (high & ((1 << 56) - 1)).to_bytes(7, "little")
                yield data[:length], count
            else:
                length = high & ((1 << 56) - 1)
                yield arena[offset : offset + length], count

    def _set_slots(self, slots: NDArray[np.int64]) -> None:
        self._slots = slots
        self._state[SLOTS] = slots.ctypes.data
        self._state[SLOT_MASK] = len(slots) - 1

    def _set_arena(self, arena: NDArray[np.uint8]) -> None:
        self._arena = arena
        self._state[ARENA] = arena.ctypes.data
        self._state[ARENA_SIZE] = len(arena)

    def _make_room(self, num_pretokens: int, num_bytes: int) -> None:
        num_slots = len(self._slots)
        while len(self) + num_pretokens > num_slots // 4 * 3:
            num_slots *= 2
        if num_slots > len(self._slots):
            self._enlarge_slots(num_slots)
        self._enlarge_arena(num_bytes + 8)

    def _enlarge_slots(self, num_slots: int) -> None:
        slots = np.zeros((num_slots, SLOT_BYTES // 8), np.int64)
        self._kernels["move_table"](
            self._slots.ctypes.data, len(self._slots) - 1, slots.ctypes.data, num_slots - 1
        )
        self._set_slots(slots)

    def _enlarge_arena(self, num_free: int) -> None:
        used = int(self._state[ARENA_USED])
        if used + num_free > len(self._arena):
            arena = np.empty(max(2 * len(self._arena), used + num_free), np.uint8)
            arena[:used] = self._arena[:used]
            self._set_arena(arena)
