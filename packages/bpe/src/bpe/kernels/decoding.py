"""Ids to bytes by compiled code."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpe.kernels import library
from bpe.kernels.byte_chunks import PADDING


class KernelDecoder:
    """The bytes of ids, for one vocabulary; threads may share it."""

    def __init__(self, tokens: Mapping[int, bytes]) -> None:
        self._kernels = library.load("tokenizer")
        self._num_ids = 1 + max(tokens)
        listed = [tokens.get(token_id, b"") for token_id in range(self._num_ids)]
        self._tokens = np.frombuffer(b"".join([*listed, bytes(PADDING)]), np.uint8)
        self._offsets = np.zeros(self._num_ids + 1, np.int64)
        np.cumsum(np.fromiter(map(len, listed), np.int64, len(listed)), out=self._offsets[1:])

    def decode(self, ids: NDArray[Any]) -> bytes | None:
        """Return the bytes of an array of integers; None if one of them is no token's id."""
        if ids.dtype.kind != "u" or ids.dtype.itemsize not in (2, 4):
            if ids.dtype == np.uint64 and len(ids) and int(ids.max()) >= self._num_ids:
                return None
            ids = ids.astype(np.int64, copy=False)
        ids = np.ascontiguousarray(ids)
        place, width, number = ids.ctypes.data, ids.dtype.itemsize, len(ids)
        offsets = self._offsets.ctypes.data
        size = self._kernels["measure_tokens"](place, width, number, offsets, self._num_ids)
        if size < 0:
            return None
        joined = np.empty(size, np.uint8)
        out = joined.ctypes.data
        tokens = self._tokens.ctypes.data
        self._kernels["copy_tokens"](place, width, number, offsets, tokens, out, out + size)
        return joined.tobytes()
