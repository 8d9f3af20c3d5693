"""Merge the most frequent pair, again and again; layouts are in `merge_state`.

To merge the pair (a, b) into c, its places are visited in order. Between neighbours x and y,

    x a b y   becomes   x c y

so the pairs (x, a) and (b, y) become rarer and (x, c) and (c, y) arise. Each depends on one token
besides a, b and c. So the changes are added up in arrays that this token indexes, the `sides`:

    sides     weight of x on the left | number of places | the same of y on the right | number

and the slots are touched once for each x and y, not for each place. All pairs that are new hold c,
which no pair held before: their places are complete after this merge, and written in one go.
Where occurrences stand side by side (x is c itself) the pair (c, c) arises and (c, a) is gone.
"""

from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load1, load4, load8, prefetch, shift_right, store1, store4, store8
from bpe.kernels.merge_state import (
    BYTES,
    BYTES_SIZE,
    BYTES_USED,
    DONE,
    HEAP,
    HEAP_SIZE,
    HEAP_USED,
    LENGTHS,
    MAX_TOKENS,
    MERGES,
    NO_BYTES,
    NO_HEAP,
    NO_PAIR,
    NO_PLACES,
    NO_SLOTS,
    NUM_SLOTS_USED,
    NUM_TOKENS,
    PLACE_BYTES,
    PLACES,
    PLACES_SIZE,
    PLACES_USED,
    SEPARATOR,
    SIDE_BYTES,
    SIDES,
    SLOT_MASK,
    SYMBOLS,
    THRESHOLD,
    TOKEN_BYTES,
    TOKENS,
    TOUCHED,
    WEIGHTS,
)
from bpe.kernels.pair_heap import pop, push, replace_top
from bpe.kernels.pair_slots import find_slot, home_slot, take_slot

_SEPARATOR = 0xFFFF_FFFF
_AHEAD = 16


def merge_pairs(state: int, num_tokens: int) -> int:
    """Merge until there are `num_tokens` tokens; a number of `merge_state` tells how it ended."""
    while load8(state + 8 * NUM_TOKENS) < num_tokens:
        slot = _top_slot(state)
        if not slot:
            return NO_PAIR
        lacking = _lacking_room(state, slot)
        if lacking:
            return lacking
        pop(state)
        _add_token(state, load8(slot))
        _merge(state, slot)
    return DONE


@inlined
def _top_slot(state: int) -> int:
    """Return the slot of the pair to merge next, 0 if no pair reaches the threshold."""
    threshold = load8(state + 8 * THRESHOLD)
    while load8(state + 8 * HEAP_USED):
        top = load8(state + 8 * HEAP)
        pair = load8(top + 8)
        slot = find_slot(state, pair)
        count = load8(slot + 8)
        if count == load8(top):
            return slot
        if count >= threshold:
            replace_top(state, count, pair)
        else:
            pop(state)
    return 0


@inlined
def _lacking_room(state: int, slot: int) -> int:
    """Return NO_... if there is too little room for what merging this pair can need, or 0."""
    num_places = load8(slot + 24)
    num_pairs = 2 * min(num_places, load8(state + 8 * NUM_TOKENS)) + 1
    if load8(state + 8 * PLACES_USED) + 2 * num_places > load8(state + 8 * PLACES_SIZE):
        return NO_PLACES
    if load8(state + 8 * HEAP_USED) + num_pairs > load8(state + 8 * HEAP_SIZE):
        return NO_HEAP
    if load8(state + 8 * NUM_SLOTS_USED) + num_pairs > load8(state + 8 * SLOT_MASK) // 4 * 3:
        return NO_SLOTS
    tokens = load8(state + 8 * TOKENS)
    left = tokens + TOKEN_BYTES * shift_right(load8(slot), 32)
    right = tokens + TOKEN_BYTES * (load8(slot) & 0xFFFF_FFFF)
    needed = load8(left + 8) + load8(right + 8)
    if load8(state + 8 * BYTES_USED) + needed > load8(state + 8 * BYTES_SIZE):
        return NO_BYTES
    return 0


@shared
def _add_token(state: int, pair: int) -> None:
    number = load8(state + 8 * NUM_TOKENS)
    store8(load8(state + 8 * MERGES) + 8 * (number - 256), pair)
    token = load8(state + 8 * TOKENS) + TOKEN_BYTES * number
    data = load8(state + 8 * BYTES)
    offset = load8(state + 8 * BYTES_USED)
    length = 0
    first_bytes = 0
    for bits in range(32, -1, -32):
        part = load8(state + 8 * TOKENS) + TOKEN_BYTES * (shift_right(pair, bits) & 0xFFFF_FFFF)
        for index in range(load8(part + 8)):
            byte = load1(data + load8(part + 16) + index)
            store1(data + offset + length, byte)
            if length < 8:
                first_bytes |= byte << (56 - 8 * length)
            length += 1
    store8(token, first_bytes)
    store8(token + 8, length)
    store8(token + 16, offset)
    store8(token + 24, number)
    store4(load8(state + 8 * LENGTHS) + 4 * number, length)
    store8(state + 8 * BYTES_USED, offset + length)
    store8(state + 8 * NUM_TOKENS, number + 1)


@shared
def _merge(state: int, slot: int) -> None:
    """Replace the pair of a slot by the newest token."""
    pair = load8(slot)
    left = shift_right(pair, 32)
    right = pair & 0xFFFF_FFFF
    new = load8(state + 8 * NUM_TOKENS) - 1
    symbols = load8(state + 8 * SYMBOLS)
    lengths = load8(state + 8 * LENGTHS)
    weights = load8(state + 8 * WEIGHTS)
    sides = load8(state + 8 * SIDES)
    touched_left = load8(state + 8 * TOUCHED)
    touched_right = touched_left + 4 * load8(state + 8 * MAX_TOKENS)
    left_length = load4(lengths + 4 * left)
    new_length = load4(lengths + 4 * new)
    first = load8(state + 8 * PLACES) + PLACE_BYTES * load8(slot + 16)
    last = first + PLACE_BYTES * (load8(slot + 24) - 1)
    num_left = 0
    num_right = 0
    side_by_side = 0
    num_side_by_side = 0
    kept = first
    store8(slot + 8, 0)

    for place in range(first, last + 1, PLACE_BYTES):
        ahead = load8(min(place + PLACE_BYTES * _AHEAD, last))
        prefetch(symbols + 4 * (ahead & 0xFFFF_FFFF))
        prefetch(weights + 8 * shift_right(ahead, 32))
        where = load8(place)
        symbol = symbols + 4 * (where & 0xFFFF_FFFF)
        if load4(symbol) != left or load4(symbol + 4 * left_length) != right:
            continue
        store8(kept, where)
        kept += PLACE_BYTES
        weight = load8(weights + 8 * shift_right(where, 32))
        store4(symbol + 4 * left_length, SEPARATOR)
        store4(symbol, new)
        store4(symbol + 4 * (new_length - 1), new)
        before = load4(symbol - 4)
        if before == new:
            side_by_side += weight
            num_side_by_side += 1
        elif before != _SEPARATOR:
            side = sides + SIDE_BYTES * before
            if not load8(side + 8):
                store4(touched_left + 4 * num_left, before)
                num_left += 1
            store8(side, load8(side) + weight)
            store8(side + 8, load8(side + 8) + 1)
        after = load4(symbol + 4 * new_length)
        if after != _SEPARATOR:
            side = sides + SIDE_BYTES * after
            if not load8(side + 24):
                store4(touched_right + 4 * num_right, after)
                num_right += 1
            store8(side + 16, load8(side + 16) + weight)
            store8(side + 24, load8(side + 24) + 1)

    for index in range(num_left):
        before = load4(touched_left + 4 * index)
        prefetch(home_slot(state, before << 32 | left))
        prefetch(home_slot(state, before << 32 | new))
    for index in range(num_right):
        after = load4(touched_right + 4 * index)
        prefetch(home_slot(state, right << 32 | after))
        prefetch(home_slot(state, new << 32 | after))

    followed = 0
    for index in range(num_left):
        before = load4(touched_left + 4 * index)
        side = sides + SIDE_BYTES * before
        weight = load8(side)
        _subtract(state, before << 32 | left, weight)
        offset = _follow(state, before << 32 | new, weight, load8(side + 8))
        followed += offset >= 0
        store8(side, offset)
    for index in range(num_right):
        after = load4(touched_right + 4 * index)
        side = sides + SIDE_BYTES * after
        weight = load8(side + 16)
        _subtract(state, right << 32 | after, weight)
        num_places = load8(side + 24)
        if after == left:
            weight -= side_by_side
            num_places -= num_side_by_side
        offset = _follow(state, new << 32 | after, weight, num_places)
        followed += offset >= 0
        store8(side + 16, offset)
    twice = _follow(state, new << 32 | new, side_by_side, num_side_by_side)
    followed += twice >= 0

    if followed:
        _write_places(state, first, kept, new, twice)
    for index in range(num_left):
        side = sides + SIDE_BYTES * load4(touched_left + 4 * index)
        store8(side, 0)
        store8(side + 8, 0)
    for index in range(num_right):
        side = sides + SIDE_BYTES * load4(touched_right + 4 * index)
        store8(side + 16, 0)
        store8(side + 24, 0)


@inlined
def _subtract(state: int, pair: int, weight: int) -> None:
    """Make a pair rarer, if it has a slot. (The pair that is merged has the count 0 already.)"""
    slot = find_slot(state, pair)
    if load8(slot) == pair and load8(slot + 8):
        store8(slot + 8, load8(slot + 8) - weight)


@shared
def _follow(state: int, pair: int, count: int, num_places: int) -> int:
    """Follow a new pair if it is frequent enough; return the address of its places, or -1."""
    if not num_places or count < load8(state + 8 * THRESHOLD):
        return -1
    slot = find_slot(state, pair)
    take_slot(state, slot, pair)
    offset = load8(state + 8 * PLACES_USED)
    store8(slot + 8, count)
    store8(slot + 16, offset)
    store8(slot + 24, num_places)
    store8(state + 8 * PLACES_USED, offset + num_places)
    push(state, count, pair)
    return load8(state + 8 * PLACES) + PLACE_BYTES * offset


@inlined
def _write_places(state: int, first: int, stop: int, new: int, twice: int) -> None:
    """Go over the places that were merged again, and write those of the pairs that arose."""
    symbols = load8(state + 8 * SYMBOLS)
    lengths = load8(state + 8 * LENGTHS)
    sides = load8(state + 8 * SIDES)
    new_length = load4(lengths + 4 * new)
    for place in range(first, stop, PLACE_BYTES):
        ahead = load8(min(place + PLACE_BYTES * _AHEAD, stop - PLACE_BYTES))
        prefetch(symbols + 4 * (ahead & 0xFFFF_FFFF))
        where = load8(place)
        symbol = symbols + 4 * (where & 0xFFFF_FFFF)
        before = load4(symbol - 4)
        if before == new:
            if twice >= 0:
                store8(twice, where - new_length)
                twice += PLACE_BYTES
        elif before != _SEPARATOR:
            target = load8(sides + SIDE_BYTES * before)
            if target >= 0:
                store8(target, where - load4(lengths + 4 * before))
                store8(sides + SIDE_BYTES * before, target + PLACE_BYTES)
        after = load4(symbol + 4 * new_length)
        if after != _SEPARATOR and after != new:
            target = load8(sides + SIDE_BYTES * after + 16)
            if target >= 0:
                store8(target, where)
                store8(sides + SIDE_BYTES * after + 16, target + PLACE_BYTES)
