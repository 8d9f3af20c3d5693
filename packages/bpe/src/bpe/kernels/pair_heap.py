"""A heap of pairs, the pair to merge next on top; layouts are in `merge_state`."""

from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load1, load8, shift_right, store8, unsigned_less
from bpe.kernels.merge_state import (
    BY_RANK,
    BYTES,
    HEAP,
    HEAP_BYTES,
    HEAP_USED,
    TOKEN_BYTES,
    TOKENS,
)


@shared
def push(state: int, count: int, pair: int) -> None:
    """Add a pair."""
    used = load8(state + 8 * HEAP_USED)
    store8(state + 8 * HEAP_USED, used + 1)
    _sift_up(state, used, count, pair)


@shared
def replace_top(state: int, count: int, pair: int) -> None:
    """Put another pair in the place of the top one."""
    heap = load8(state + 8 * HEAP)
    used = load8(state + 8 * HEAP_USED)
    place = 0
    while True:
        child = 2 * place + 1
        if child >= used:
            break
        entry = heap + HEAP_BYTES * child
        if child + 1 < used and _precedes(
            state, load8(entry + 16), load8(entry + 24), load8(entry), load8(entry + 8)
        ):
            child += 1
            entry += HEAP_BYTES
        if not _precedes(state, load8(entry), load8(entry + 8), count, pair):
            break
        store8(heap + HEAP_BYTES * place, load8(entry))
        store8(heap + HEAP_BYTES * place + 8, load8(entry + 8))
        place = child
    store8(heap + HEAP_BYTES * place, count)
    store8(heap + HEAP_BYTES * place + 8, pair)


@inlined
def pop(state: int) -> None:
    """Remove the top pair."""
    used = load8(state + 8 * HEAP_USED) - 1
    store8(state + 8 * HEAP_USED, used)
    if used:
        last = load8(state + 8 * HEAP) + HEAP_BYTES * used
        replace_top(state, load8(last), load8(last + 8))


@inlined
def _sift_up(state: int, place: int, count: int, pair: int) -> None:
    heap = load8(state + 8 * HEAP)
    while place:
        parent = (place - 1) >> 1
        entry = heap + HEAP_BYTES * parent
        if not _precedes(state, count, pair, load8(entry), load8(entry + 8)):
            break
        store8(heap + HEAP_BYTES * place, load8(entry))
        store8(heap + HEAP_BYTES * place + 8, load8(entry + 8))
        place = parent
    store8(heap + HEAP_BYTES * place, count)
    store8(heap + HEAP_BYTES * place + 8, pair)


@inlined
def _precedes(state: int, count: int, pair: int, other_count: int, other: int) -> int:
    if count != other_count:
        return 1 if count > other_count else 0
    return _wins_tie(state, pair, other)


@shared
def _wins_tie(state: int, pair: int, other: int) -> int:
    tokens = load8(state + 8 * TOKENS)
    for bits in range(32, -1, -32):
        left = tokens + TOKEN_BYTES * (shift_right(pair, bits) & 0xFFFF_FFFF)
        right = tokens + TOKEN_BYTES * (shift_right(other, bits) & 0xFFFF_FFFF)
        if left != right:
            if load8(state + 8 * BY_RANK):
                return 1 if load8(left + 24) < load8(right + 24) else 0
            return _is_greater(load8(state + 8 * BYTES), left, right)
    return 0


@inlined
def _is_greater(data: int, token: int, other: int) -> int:
    """Whether the bytes of a token come after those of another, in lexicographic order."""
    if load8(token) != load8(other):
        return unsigned_less(load8(other), load8(token))
    length = load8(token + 8)
    other_length = load8(other + 8)
    for offset in range(min(length, other_length)):
        byte = load1(data + load8(token + 16) + offset)
        other_byte = load1(data + load8(other + 16) + offset)
        if byte != other_byte:
            return 1 if byte > other_byte else 0
    return 1 if length > other_length else 0
