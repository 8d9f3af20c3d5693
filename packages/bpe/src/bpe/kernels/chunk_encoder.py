"""Encode chunks of text in one thread, with a cache of pretokens that lives from chunk to chunk."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bpe.kernels.byte_chunks import PADDING, NotUtf8Error
from bpe.kernels.cache_state import (
    ARENA,
    ARENA_SIZE,
    ARENA_SPARE,
    ARENA_USED,
    CACHE_FULL,
    MERGE_BYTES,
    MERGE_NEEDED,
    MERGE_ROOM,
    MERGE_SPACE,
    NOT_UTF8,
    NUM_USED,
    OUTPUT,
    POSITION,
    SCRATCH,
    SCRATCH_WORDS,
    SLOT_BYTES,
    SLOT_MASK,
    SLOTS,
    SMALLEST_MERGE_SPACE,
    TOO_LONG,
)
from bpe.kernels.merge_tables import MergeTables
from bpe.token_file import TokenArray

# Kernels write so many bytes behind their output.
OUTPUT_PADDING = 8
# 8 MB of slots: more miss the processor's cache more often than they hit.
_SLOT_BITS = 18
_ARENA_BYTES = 4 << 20
# Texts of up to so many bytes need no memory of their own.
SMALL = 1 << 16


class ChunkEncoder:
    """Encoder for one thread at a time. `seed` is an encoder whose cache this one begins with."""

    def __init__(self, tables: MergeTables, seed: Self | None = None) -> None:
        self._tables = tables
        self._encode = tables.kernels["encode_cached"]
        self._encode_documents = tables.kernels["encode_documents"]
        self._state = tables.state.copy()
        self._address = self._state.ctypes.data
        self._scratch = np.empty(SCRATCH_WORDS, np.int64)
        self._state[SCRATCH] = self._scratch.ctypes.data
        self._set_merge_space(SMALLEST_MERGE_SPACE)
        self._small_text = np.empty(SMALL + PADDING, np.uint8)
        self._small_view = self._small_text.data
        self._small_address = self._small_text.ctypes.data
        self._small_ids = self.new_output(SMALL)
        self._small_output = self._small_ids.ctypes.data
        self._id_shift = tables.dtype.itemsize // 2
        self._seed = seed
        if seed is None:
            self._fill()
        else:
            self._set_cache(np.empty_like(seed._slots), np.empty_like(seed._arena))
            self._empty()

    def new_output(self, num_bytes: int) -> TokenArray:
        """Return an array that holds the ids of a text of so many bytes."""
        dtype = self._tables.dtype
        return np.empty(num_bytes + OUTPUT_PADDING // dtype.itemsize, dtype)

    def encode_small(self, data: bytes, trie: int) -> TokenArray:
        """Return the ids of UTF-8 of at most SMALL bytes, good until the next call."""
        length = len(data)
        start = self._small_address
        self._small_view[:length] = data
        out = self._small_output
        end = self._encode(self._address, start, start + length, out, trie)
        if end < 0:
            end = self._go_on(end, start + length, trie)
        return self._small_ids[: (end - out) >> self._id_shift]

    def encode(
        self, text: NDArray[np.uint8], length: int, trie: int, ids: TokenArray
    ) -> TokenArray:
        """Encode `length` bytes of `text`, behind which PADDING follows; return a part of `ids`.

        Raises NotUtf8Error.
        """
        start = text.ctypes.data
        out = ids.ctypes.data
        end = self._encode(self._address, start, start + length, out, trie)
        if end < 0:
            end = self._go_on(end, start + length, trie)
        return ids[: (end - out) >> self._id_shift]

    def encode_documents(
        self, documents: Sequence[bytes], trie: int
    ) -> tuple[TokenArray, NDArray[np.int64]]:
        """Return the ids of documents of UTF-8, one behind the other, and where each ends.

        All in one call of the kernels.
        """
        number = len(documents)
        text = np.frombuffer(b"".join([*documents, bytes(PADDING)]), np.uint8)
        ids = self.new_output(len(text))
        start, out = text.ctypes.data, ids.ctypes.data
        stops = start + np.cumsum(np.fromiter(map(len, documents), np.int64, number))
        outs = np.empty(number + 1, np.int64)
        done, end = 0, out
        while done < number:
            outcome = self._encode_documents(
                *(self._address, start, stops.ctypes.data, done, number, end, trie),
                outs.ctypes.data,
            )
            if outcome >= 0:
                break
            done = int(outs[number])
            start = int(stops[done])
            outs[done] = end = self._go_on(outcome, start, trie)
            done += 1
        ends = (outs[:number] - out) >> self._id_shift
        return ids[: int(ends[-1]) if number else 0], ends

    def _go_on(self, outcome: int, stop: int, trie: int) -> int:
        state = self._state
        while outcome < 0:
            if outcome == NOT_UTF8:
                raise NotUtf8Error
            if outcome == CACHE_FULL:
                self._empty()
            else:
                assert outcome == TOO_LONG
                self._set_merge_space(MERGE_BYTES * int(state[MERGE_NEEDED]))
            position, output = int(state[POSITION]), int(state[OUTPUT])
            outcome = self._encode(self._address, position, stop, output, trie)
        return outcome

    def _set_merge_space(self, num_bytes: int) -> None:
        self._merge_space = np.empty(num_bytes, np.uint8)
        self._state[MERGE_SPACE] = self._merge_space.ctypes.data
        self._state[MERGE_ROOM] = num_bytes // MERGE_BYTES

    def _set_cache(self, slots: NDArray[np.int64], arena: NDArray[np.uint8]) -> None:
        self._slots = slots
        self._arena = arena
        self._state[SLOTS] = self._slots.ctypes.data
        self._state[SLOT_MASK] = len(self._slots) - 1
        self._state[ARENA] = self._arena.ctypes.data
        self._state[ARENA_SIZE] = len(self._arena)

    def _empty(self) -> None:
        """Forget all pretokens but those of the seed."""
        seed = self._seed if self._seed is not None else self
        used = int(seed._state[ARENA_USED])
        self._slots[:] = seed._slots
        self._arena[:used] = seed._arena[:used]
        self._state[NUM_USED] = seed._state[NUM_USED]
        self._state[ARENA_USED] = used

    def _fill(self) -> None:
        """Make a cache of the tokens that can be pretokens."""
        ids, whole = self._tables.ids, self._tables.ignore_merges
        # Half of the slots stay free for other pretokens.
        bits = max(_SLOT_BITS, (2 * len(ids)).bit_length() if whole else 0)
        tokens = list(ids)[: 1 << (bits - 1)]
        text = np.frombuffer(b"".join([*tokens, bytes(PADDING)]), np.uint8)
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        ends = text.ctypes.data + np.cumsum(lengths)
        if whole:
            answers = np.fromiter(ids.values(), np.int64, len(tokens))
        else:
            answers = np.full(len(tokens), -1, np.int64)
        # All of the tokens could need room in the arena.
        num_bytes = 2 * len(text) + 16 * len(tokens) + _ARENA_BYTES + ARENA_SPARE
        slots = np.zeros((1 << bits, SLOT_BYTES // 8), np.int64)
        self._set_cache(slots, np.empty(num_bytes, np.uint8))
        self._tables.kernels["seed_cache"](
            self._address, text.ctypes.data, ends.ctypes.data, answers.ctypes.data, len(tokens)
        )
