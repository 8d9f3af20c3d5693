"""Merge the bytes of one pretoken into ids: always the pair of the lowest rank, the leftmost first.

Up to 64 bytes, in MERGE_SPACE:

    ids     64 x 4 bytes   the id of the part that begins at this byte
    ranks   80 x 4 bytes   the rank of that part with the next one, else NO_RANK

A mask of 64 bits tells where parts begin. The lowest of 16 ranks is found in a few instructions,
so that a search is shorter than what an order of the pairs would cost.

More bytes: a doubly linked list of the parts, and a heap of the pairs. A pair that has changed
since it went into the heap is known by its rank. Each of n bytes brings one pair and each merge two
more, so that the heap stays below 2 n and the work is that of n log n:

    ids, ranks, lefts, rights   n x 4 bytes each, n standing for neither neighbour
    heap                        2 n x 8 bytes: rank << 40 | position
"""

from bpe.kernels.cache_state import BYTE_IDS, ID_BYTES, MERGE_SPACE, NO_RANK
from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import (
    load1,
    load2,
    load4,
    load8,
    low_bits,
    shift_right,
    store4,
    store8,
    trailing_zeros,
)
from bpe.kernels.pair_ranks import product_of, rank_of, rank_of_bytes
from bpe.kernels.rank_vectors import LANES, equal_ranks, last_bit_before, lowest_rank

LONGEST_IN_MASK = 64
_POSITION_BITS = 40


@shared
def merge_short(state: int, start: int, length: int, out: int) -> int:
    """Write the ids of a pretoken of up to 64 bytes; return where they end."""
    ids = load8(state + 8 * MERGE_SPACE)
    ranks = ids + 4 * LONGEST_IN_MASK
    id_bytes = load8(state + 8 * ID_BYTES)
    byte_ids = load8(state + 8 * BYTE_IDS)
    num_blocks = (length + LANES - 1) // LANES
    for offset in range(length):
        store4(ids + 4 * offset, load4(byte_ids + 4 * load1(start + offset)))
        store4(ranks + 4 * offset, rank_of_bytes(state, load2(start + offset)))
    for offset in range(length - 1, LANES * num_blocks):
        store4(ranks + 4 * offset, NO_RANK)
    begins = low_bits(length)
    while True:
        best = 0
        rank = lowest_rank(ranks)
        for block in range(1, num_blocks):
            lowest = lowest_rank(ranks + 4 * LANES * block)
            if lowest < rank:
                rank = lowest
                best = block
        if rank == NO_RANK:
            break
        at = LANES * best + trailing_zeros(equal_ranks(ranks + 4 * LANES * best, rank))
        product = product_of(state, rank)
        behind = begins & ~low_bits(at + 1)
        swallowed = trailing_zeros(behind)
        begins &= ~(1 << swallowed)
        behind &= behind - 1
        store4(ids + 4 * at, product)
        store4(ranks + 4 * swallowed, NO_RANK)
        fresh = NO_RANK
        if behind:
            fresh = rank_of(state, product, load4(ids + 4 * trailing_zeros(behind)))
        store4(ranks + 4 * at, fresh)
        before = last_bit_before(begins, at)
        if before >= 0:
            store4(ranks + 4 * before, rank_of(state, load4(ids + 4 * before), product))
    while begins:
        store4(out, load4(ids + 4 * trailing_zeros(begins)))
        out += id_bytes
        begins &= begins - 1
    return out


@shared
def merge_long(state: int, start: int, length: int, out: int) -> int:
    """Write the ids of a pretoken of two bytes or more; return where they end."""
    ids = load8(state + 8 * MERGE_SPACE)
    ranks = ids + 4 * length
    lefts = ranks + 4 * length
    rights = lefts + 4 * length
    heap = rights + 4 * length
    id_bytes = load8(state + 8 * ID_BYTES)
    byte_ids = load8(state + 8 * BYTE_IDS)
    size = 0
    for at in range(length):
        store4(ids + 4 * at, load4(byte_ids + 4 * load1(start + at)))
        store4(lefts + 4 * at, at - 1 if at else length)
        store4(rights + 4 * at, at + 1)
        rank = rank_of_bytes(state, load2(start + at)) if at + 1 < length else NO_RANK
        store4(ranks + 4 * at, rank)
        if rank != NO_RANK:
            store8(heap + 8 * size, rank << _POSITION_BITS | at)
            size += 1
    for place in range(size // 2 - 1, -1, -1):
        _sink(heap, size, place)
    while size:
        least = load8(heap)
        size -= 1
        store8(heap, load8(heap + 8 * size))
        _sink(heap, size, 0)
        at = least & low_bits(_POSITION_BITS)
        rank = shift_right(least, _POSITION_BITS)
        if load4(ranks + 4 * at) != rank:
            continue
        product = product_of(state, rank)
        swallowed = load4(rights + 4 * at)
        after = load4(rights + 4 * swallowed)
        before = load4(lefts + 4 * at)
        store4(ids + 4 * at, product)
        store4(rights + 4 * at, after)
        store4(ranks + 4 * swallowed, NO_RANK)
        fresh = NO_RANK
        if after < length:
            store4(lefts + 4 * after, at)
            fresh = rank_of(state, product, load4(ids + 4 * after))
        store4(ranks + 4 * at, fresh)
        if fresh != NO_RANK:
            _rise(heap, size, fresh << _POSITION_BITS | at)
            size += 1
        if before < length:
            fresh = rank_of(state, load4(ids + 4 * before), product)
            store4(ranks + 4 * before, fresh)
            if fresh != NO_RANK:
                _rise(heap, size, fresh << _POSITION_BITS | before)
                size += 1
    at = 0
    while at < length:
        store4(out, load4(ids + 4 * at))
        out += id_bytes
        at = load4(rights + 4 * at)
    return out


@inlined
def _sink(heap: int, size: int, place: int) -> None:
    """Move the entry at `place` down to where it belongs."""
    entry = load8(heap + 8 * place)
    child = 2 * place + 1
    while child < size:
        lower = load8(heap + 8 * child)
        if child + 1 < size and load8(heap + 8 * child + 8) < lower:
            child += 1
            lower = load8(heap + 8 * child)
        if entry <= lower:
            break
        store8(heap + 8 * place, lower)
        place = child
        child = 2 * place + 1
    store8(heap + 8 * place, entry)


@inlined
def _rise(heap: int, place: int, entry: int) -> None:
    """Put an entry at the end of a heap of `place` entries, and move it up to where it belongs."""
    while place:
        parent = shift_right(place - 1, 1)
        above = load8(heap + 8 * parent)
        if above <= entry:
            break
        store8(heap + 8 * place, above)
        place = parent
    store8(heap + 8 * place, entry)
