"""Find all pairs that are frequent enough to be followed, and where they stand.

This is done at the start, when all pairs that were followed are used up, and when the memory for
places is: then what is out of date falls away. In three passes over the symbols:

1. The weights of all pairs are added up in a small table without keys. What falls on the same
   word is added too, so a pair is never more frequent than its word tells.
2. The pairs whose word reaches the threshold get slots, and exact counts.
3. The places of those that reach it themselves are written, in ascending order.
"""

from bpe.kernels.compiler import inlined
from bpe.kernels.hashing import mix
from bpe.kernels.memory import load4, load8, store8
from bpe.kernels.merge_state import (
    DONE,
    FILTER,
    FILTER_SIZE,
    FREE,
    HEAP_USED,
    LENGTHS,
    NO_SLOTS,
    NUM_SLOTS_USED,
    NUM_SYMBOLS,
    PLACE_BYTES,
    PLACES,
    PLACES_USED,
    SLOT_BYTES,
    SLOT_MASK,
    SLOTS,
    SYMBOLS,
    THRESHOLD,
    WEIGHTS,
)
from bpe.kernels.pair_heap import push
from bpe.kernels.pair_slots import find_slot, take_slot

_FACTOR = 0x2D35_8DCC_AA6C_78A5
_SEPARATOR = 0xFFFF_FFFF


@inlined
def _filter_word(state: int, pair: int) -> int:
    return load8(state + 8 * FILTER) + 8 * ((mix(pair, _FACTOR) >> 40) & (FILTER_SIZE - 1))


def sum_pairs(state: int) -> int:
    """Make the first pass."""
    symbols = load8(state + 8 * SYMBOLS)
    lengths = load8(state + 8 * LENGTHS)
    weights = load8(state + 8 * WEIGHTS) - 8
    for index in range(FILTER_SIZE):
        store8(load8(state + 8 * FILTER) + 8 * index, 0)
    end = symbols + 4 * load8(state + 8 * NUM_SYMBOLS)
    weight = 0
    left = _SEPARATOR
    while symbols < end:
        right = load4(symbols)
        if right == _SEPARATOR:
            symbols += 4
            weights += 8
            weight = load8(weights)
        else:
            if left != _SEPARATOR:
                word = _filter_word(state, left << 32 | right)
                store8(word, load8(word) + weight)
            symbols += 4 * load4(lengths + 4 * right)
        left = right
    return DONE


def count_pairs(state: int) -> int:
    """Make the second pass; NO_SLOTS if there are too few.

    Where a number of places will stand in a slot, it counts all places of the pair.
    """
    for index in range(load8(state + 8 * SLOT_MASK) + 1):
        store8(load8(state + 8 * SLOTS) + SLOT_BYTES * index, FREE)
    store8(state + 8 * NUM_SLOTS_USED, 0)
    most_used = load8(state + 8 * SLOT_MASK) // 2
    threshold = load8(state + 8 * THRESHOLD)
    symbols = load8(state + 8 * SYMBOLS)
    lengths = load8(state + 8 * LENGTHS)
    weights = load8(state + 8 * WEIGHTS) - 8
    end = symbols + 4 * load8(state + 8 * NUM_SYMBOLS)
    weight = 0
    left = _SEPARATOR
    while symbols < end:
        right = load4(symbols)
        if right == _SEPARATOR:
            symbols += 4
            weights += 8
            weight = load8(weights)
        else:
            if left != _SEPARATOR:
                pair = left << 32 | right
                if load8(_filter_word(state, pair)) >= threshold:
                    slot = find_slot(state, pair)
                    if load8(slot) == FREE:
                        if load8(state + 8 * NUM_SLOTS_USED) > most_used:
                            return NO_SLOTS
                        take_slot(state, slot, pair)
                    store8(slot + 8, load8(slot + 8) + weight)
                    store8(slot + 24, load8(slot + 24) + 1)
            symbols += 4 * load4(lengths + 4 * right)
        left = right
    return DONE


def measure_pairs(state: int, sizes: int) -> int:
    """Store how many pairs reach the threshold, and how many places they have."""
    threshold = load8(state + 8 * THRESHOLD)
    slot = load8(state + 8 * SLOTS)
    num_pairs = 0
    num_places = 0
    for _ in range(load8(state + 8 * SLOT_MASK) + 1):
        if load8(slot) != FREE and load8(slot + 8) >= threshold:
            num_pairs += 1
            num_places += load8(slot + 24)
        slot += SLOT_BYTES
    store8(sizes, num_pairs)
    store8(sizes + 8, num_places)
    return DONE


def place_pairs(state: int) -> int:
    """Make the third pass, and fill the heap."""
    threshold = load8(state + 8 * THRESHOLD)
    slot = load8(state + 8 * SLOTS)
    offset = 0
    store8(state + 8 * HEAP_USED, 0)
    for _ in range(load8(state + 8 * SLOT_MASK) + 1):
        if load8(slot) != FREE and load8(slot + 8) >= threshold:
            store8(slot + 16, offset)
            offset += load8(slot + 24)
            store8(slot + 24, 0)
            push(state, load8(slot + 8), load8(slot))
        slot += SLOT_BYTES
    store8(state + 8 * PLACES_USED, offset)

    places = load8(state + 8 * PLACES)
    lengths = load8(state + 8 * LENGTHS)
    symbols = load8(state + 8 * SYMBOLS)
    num_symbols = load8(state + 8 * NUM_SYMBOLS)
    position = 0
    before = 0
    word = -1
    left = _SEPARATOR
    while position < num_symbols:
        right = load4(symbols + 4 * position)
        length = 1
        if right == _SEPARATOR:
            word += 1
        else:
            if left != _SEPARATOR:
                pair = left << 32 | right
                if load8(_filter_word(state, pair)) >= threshold:
                    slot = find_slot(state, pair)
                    if load8(slot + 8) >= threshold:
                        number = load8(slot + 24)
                        place = places + PLACE_BYTES * (load8(slot + 16) + number)
                        store8(place, word << 32 | before)
                        store8(slot + 24, number + 1)
            length = load4(lengths + 4 * right)
        before = position
        position += length
        left = right
    return DONE
