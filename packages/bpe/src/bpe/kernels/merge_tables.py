"""What all threads that encode by one vocabulary share: its merges as tables, read-only."""

import ctypes
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bpe.kernels import library
from bpe.kernels.cache_state import (
    BYTE_IDS,
    BYTE_PAIRS,
    CLASSES,
    ID_BYTES,
    NUM_WORDS,
    PAIR_BITS,
    PAIRS,
    PATTERN,
    PRODUCTS,
)
from bpe.kernels.pattern_numbers import pattern_number
from bpe.token_file import TokenArray, token_dtype
from bpe.vocabulary import Vocabulary


class MergeTables:
    """The tables of one vocabulary; `state` is what the state of each thread begins with."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.kernels = library.load("tokenizer")
        self.dtype = token_dtype(vocabulary.size)
        self._size = vocabulary.size
        self.ids = vocabulary.ordinary_ids()
        self.ignore_merges = vocabulary.ignore_merges
        self.state = np.zeros(NUM_WORDS, np.int64)
        self.state[CLASSES] = ctypes.addressof(library.class_table())
        number = pattern_number(vocabulary.pattern)
        assert number is not None
        self.state[PATTERN] = number
        self.state[ID_BYTES] = self.dtype.itemsize
        self._set_merges(vocabulary.merges)

    @cached_property
    def _numbers(self) -> NDArray[np.object_]:
        return np.array([*range(self._size)], np.object_)

    def listed(self, ids: TokenArray) -> list[int]:
        """Return many ids as a list, which refers to one int for each token of the vocabulary.

        `ids.tolist()` makes an int for each id: four times the memory, half as much time again.
        """
        numbers: list[int] = self._numbers[ids].tolist()
        return numbers

    def _set_merges(self, merges: Sequence[tuple[bytes, bytes]]) -> None:
        ids = self.ids
        number = len(merges)
        lefts = np.fromiter((ids[left] for left, _ in merges), np.int64, number)
        rights = np.fromiter((ids[right] for _, right in merges), np.int64, number)
        self._products = np.fromiter((ids[a + b] for a, b in merges), np.uint32, number)
        self._byte_ids = np.array([ids[bytes((byte,))] for byte in range(256)], np.uint32)
        self._byte_pairs = np.empty(1 << 16, np.uint32)
        bits = max(8, (2 * number).bit_length())
        self._pairs = np.full(1 << bits, -1, np.int64)
        self.state[PRODUCTS] = self._products.ctypes.data
        self.state[BYTE_IDS] = self._byte_ids.ctypes.data
        self.state[BYTE_PAIRS] = self._byte_pairs.ctypes.data
        self.state[PAIRS] = self._pairs.ctypes.data
        self.state[PAIR_BITS] = bits
        self.kernels["fill_pairs"](
            self.state.ctypes.data, lefts.ctypes.data, rights.ctypes.data, number
        )
