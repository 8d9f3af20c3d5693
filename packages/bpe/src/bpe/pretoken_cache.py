"""Remember the ids of the pretokens seen last, in bounded memory.

Text repeats itself: a few ten thousand pretokens cover most of it. `cache[pretoken]` is a plain
dictionary lookup when the pretoken is known, so that bulk encoding runs at the speed of `map`.

Two generations stand in for an order of use, which would cost time on every hit: when the young
one is full it becomes the old one, and what the old one held is forgotten unless asked for since.
"""

from collections.abc import Callable

# Characters per generation, counting each entry as 16 more: some 12,000 English pretokens. Four
# times as many are a tenth faster, but take more memory than a stream should.
_CAPACITY = 1 << 18
# Longer pretokens hardly ever come back, and would push out many short ones.
_LONGEST = 256


class PretokenCache(dict[str, tuple[int, ...]]):
    """The ids of pretokens, computed by `encode` when they are not known."""

    def __init__(self, encode: Callable[[str], tuple[int, ...]]) -> None:
        super().__init__()
        self._encode = encode
        self._older: dict[str, tuple[int, ...]] = {}
        self._room = _CAPACITY

    def __missing__(self, pretoken: str) -> tuple[int, ...]:
        if len(pretoken) > _LONGEST:
            return self._encode(pretoken)
        ids = self._older.get(pretoken)
        if ids is None:
            ids = self._encode(pretoken)
        self._room -= len(pretoken) + 16
        if self._room < 0:
            # Threads that meet here at worst forget an entry; they never see a wrong one.
            self._older = dict(self)
            self.clear()
            self._room = _CAPACITY
        self[pretoken] = ids
        return ids
