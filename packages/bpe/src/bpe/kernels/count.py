"""Count the pretokens of a text in an open-addressing hash table.

    slot   32 bytes   low word | high word | count, 0 if the slot is free | offset in the arena
    arena  bytes      the pretokens of more than 15 bytes, one after the other

A key (`hashing`) holds a pretoken of up to 15 bytes whole; for longer ones the arena is compared.
Two slots share a cache line, so most look-ups touch one line. Pretokens go in batches: scan, make
keys and prefetch their slots, then look up; so that the misses of a batch overlap.

    state    the words of `count_state`
    scratch  ends of BATCH pretokens, 8 words for the scanner, then low, high and slot of each

Memory is Python's: a kernel that finds the table or the arena too full for its next batch stops
there, and is called again when there is more.
"""

from bpe.kernels.compiler import inlined, shared
from bpe.kernels.count_state import (
    ARENA,
    ARENA_FULL,
    ARENA_NEEDED,
    ARENA_SIZE,
    ARENA_USED,
    BATCH,
    CLASSES,
    DONE,
    NOT_UTF8,
    NUM_USED,
    PATTERN,
    POSITION,
    SCRATCH,
    SLOT_BYTES,
    SLOT_MASK,
    SLOTS,
    TABLE_FULL,
    TRIE,
)
from bpe.kernels.hashing import (
    copy_bytes,
    equal_bytes,
    hash_of,
    is_long,
    key_length,
    key_of,
)
from bpe.kernels.memory import load8, prefetch, store8
from bpe.kernels.scan import scan
from bpe.kernels.special_search import find_special


def count_text(state: int, stop: int) -> int:
    """Count the pretokens from POSITION to `stop`; a number of `count_state` tells how it ended.

    TABLE_FULL, ARENA_FULL: POSITION is where to go on when there is more room.
    """
    position = load8(state + 8 * POSITION)
    trie = load8(state + 8 * TRIE)
    # A word of the scratch that the scanner leaves alone between two calls.
    special_length = load8(state + 8 * SCRATCH) + 8 * (BATCH + 7)
    while position < stop:
        special = find_special(position, stop, trie, special_length) if trie else stop
        length = load8(special_length) if trie else 0
        outcome = _count_ordinary(state, position, special)
        if outcome != DONE:
            return outcome
        position = special + length
    store8(state + 8 * POSITION, position)
    return DONE


def add_pretokens(state: int, start: int, ends: int, counts: int, number: int) -> int:
    """Add pretokens that lie one behind the other; there is room for all of them."""
    slots = load8(state + 8 * SLOTS)
    mask = load8(state + 8 * SLOT_MASK)
    for index in range(number):
        end = load8(ends + 8 * index)
        low, high = key_of(start, end - start)
        _add(state, _home(slots, mask, low, high), low, high, start, load8(counts + 8 * index))
        start = end
    return DONE


def add_table(state: int, other: int) -> int:
    """Add the counts of the table of `other`; there is room for all of them."""
    first = load8(other + 8 * SLOTS)
    last = first + SLOT_BYTES * load8(other + 8 * SLOT_MASK)
    arena = load8(other + 8 * ARENA)
    slots = load8(state + 8 * SLOTS)
    mask = load8(state + 8 * SLOT_MASK)
    for slot in range(first, last + 1, SLOT_BYTES):
        # Slots lie in no order of the other table: fetch ahead what will be needed.
        ahead = min(slot + 16 * SLOT_BYTES, last)
        prefetch(_home(slots, mask, load8(ahead), load8(ahead + 8)))
        if load8(slot + 16):
            low = load8(slot)
            high = load8(slot + 8)
            source = arena + load8(slot + 24)
            _add(state, _home(slots, mask, low, high), low, high, source, load8(slot + 16))
    return DONE


def move_table(slots: int, mask: int, new_slots: int, new_mask: int) -> int:
    """Copy all entries into a larger table that is empty."""
    for index in range(mask + 1):
        slot = slots + SLOT_BYTES * index
        if load8(slot + 16):
            low = load8(slot)
            high = load8(slot + 8)
            place = hash_of(low, high) & new_mask
            while load8(new_slots + SLOT_BYTES * place + 16):
                place = (place + 1) & new_mask
            target = new_slots + SLOT_BYTES * place
            for offset in range(0, SLOT_BYTES, 8):
                store8(target + offset, load8(slot + offset))
    return DONE


@shared
def _count_ordinary(state: int, position: int, stop: int) -> int:
    """Count text that holds no special tokens."""
    ends = load8(state + 8 * SCRATCH)
    keys = ends + 8 * (BATCH + 8)
    classes = load8(state + 8 * CLASSES)
    pattern = load8(state + 8 * PATTERN)
    slots = load8(state + 8 * SLOTS)
    mask = load8(state + 8 * SLOT_MASK)
    most_used = mask // 4 * 3
    while position < stop:
        number = scan(pattern, position, stop, classes, ends, BATCH)
        if number < 0:
            return NOT_UTF8
        batch_end = load8(ends + 8 * (number - 1))
        store8(state + 8 * POSITION, position)
        if load8(state + 8 * NUM_USED) + number > most_used:
            return TABLE_FULL
        needed = batch_end - position + 8
        if load8(state + 8 * ARENA_USED) + needed > load8(state + 8 * ARENA_SIZE):
            store8(state + 8 * ARENA_NEEDED, needed)
            return ARENA_FULL

        start = position
        key = keys
        for index in range(number):
            end = load8(ends + 8 * index)
            low, high = key_of(start, end - start)
            slot = _home(slots, mask, low, high)
            prefetch(slot)
            store8(key, low)
            store8(key + 8, high)
            store8(key + 16, slot)
            key += 24
            start = end

        start = position
        key = keys
        for index in range(number):
            _add(state, load8(key + 16), load8(key), load8(key + 8), start, 1)
            start = load8(ends + 8 * index)
            key += 24
        position = batch_end
    return DONE


@inlined
def _home(slots: int, mask: int, low: int, high: int) -> int:
    return slots + SLOT_BYTES * (hash_of(low, high) & mask)


@inlined
def _add(state: int, slot: int, low: int, high: int, source: int, count: int) -> None:
    """Add `count` to the entry with that key, from `slot` on; its bytes are at `source`."""
    while True:
        if load8(slot) == low and load8(slot + 8) == high and _is_same(state, slot, high, source):
            store8(slot + 16, load8(slot + 16) + count)
            return
        if not load8(slot + 16):
            break
        slot += SLOT_BYTES
        last = load8(state + 8 * SLOTS) + SLOT_BYTES * load8(state + 8 * SLOT_MASK)
        if slot > last:
            slot = load8(state + 8 * SLOTS)
    _insert(state, slot, low, high, source, count)


@inlined
def _is_same(state: int, slot: int, high: int, source: int) -> int:
    if not is_long(high):
        return 1
    stored = load8(state + 8 * ARENA) + load8(slot + 24)
    return equal_bytes(stored, source, key_length(high))


@shared
def _insert(state: int, slot: int, low: int, high: int, source: int, count: int) -> None:
    store8(slot, low)
    store8(slot + 8, high)
    store8(slot + 16, count)
    store8(state + 8 * NUM_USED, load8(state + 8 * NUM_USED) + 1)
    if is_long(high):
        used = load8(state + 8 * ARENA_USED)
        store8(slot + 24, used)
        length = key_length(high)
        copy_bytes(load8(state + 8 * ARENA) + used, source, length)
        store8(state + 8 * ARENA_USED, used + length)
