"""The decoder of a tokenizer: the reference for a few thousand ids, the kernels for millions."""

from array import array
from collections.abc import Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Any

from bpe.decoding import join_tokens
from bpe.engines import Engine, has_kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bpe.kernels.decoding import KernelDecoder

# Ids that the reference decodes while the kernels are loaded, and while they are compiled.
LOAD_FROM = 1 << 20
COMPILE_FROM = 1 << 26
# Fewer are done before an array of them is made.
_SMALLEST = 256


class TokenDecoder:
    """The bytes of ids, by the engine that is done first; both give the same bytes."""

    def __init__(self, tokens: Mapping[int, bytes], engine: Engine) -> None:
        self._tokens = tokens
        self._engine = engine
        self._kernels: KernelDecoder | None = None

    def decode(self, ids: Iterable[int]) -> bytes:
        """Return the joined bytes of `ids`. Raises ValueError for an id that no token has."""
        if isinstance(ids, Sized):
            kernels = self._kernels_for(len(ids))
            if kernels is not None:
                numbers = _as_array(ids)
                joined = None if numbers is None else kernels.decode(numbers)
                if joined is not None:
                    return joined
        # The reference names the id that is wrong, and its position.
        return join_tokens(self._tokens, ids)

    def _kernels_for(self, num_ids: int) -> "KernelDecoder | None":
        if self._kernels is None and self._is_worth_loading(num_ids):
            from bpe.kernels.decoding import KernelDecoder

            self._kernels = KernelDecoder(self._tokens)
        return self._kernels if num_ids >= _SMALLEST or self._engine == "kernels" else None

    def _is_worth_loading(self, num_ids: int) -> bool:
        if self._engine != "auto":
            return self._engine == "kernels"
        if num_ids < LOAD_FROM or not has_kernels():
            return False
        from bpe.kernels.library import is_compiled

        return num_ids >= COMPILE_FROM or is_compiled("tokenizer")


def _as_array(ids: Any) -> "NDArray[Any] | None":
    """Return `ids` as one row of integers; None if they are not that."""
    import numpy as np

    if isinstance(ids, np.ndarray):
        return ids if ids.ndim == 1 and ids.dtype.kind in "iu" else None
    if not isinstance(ids, (list, tuple, range)):
        # What an array takes for raw bytes would be read in another way.
        ids = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    try:
        # Refuses floats, as the reference does.
        numbers = array("I", ids)
    except (TypeError, OverflowError):
        return None
    return np.frombuffer(numbers, f"u{numbers.itemsize}") if numbers else np.empty(0, np.uint32)
