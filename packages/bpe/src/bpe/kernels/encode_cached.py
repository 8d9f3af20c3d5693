"""Encode text by a cache of pretokens and their ids, in an open-addressing table of bounded size.

    slot    32 bytes   low word | high word, 0 if the slot is free | ids | sizes
    ids     8 bytes    the ids themselves, as they go to the output, if they fit
    sizes   bits 0..15 bytes that the ids take | bits 16.. offset of the rest in the arena
    arena   bytes      of a pretoken of more than 15 bytes: its bytes, filled up to 8
                       of one whose ids do not fit: its ids

A key (`hashing`) holds a pretoken of up to 15 bytes whole. Key and ids share half a cache line, so
that a hit costs one access to memory and one store of 8 bytes, however many ids there are.
Pretokens go in batches: scan, make keys and prefetch their slots, then look up.

    state    the words of `cache_state`
    scratch  ends of BATCH pretokens, 8 words for the scanner, then low, high and slot of each

Memory is Python's: a kernel that finds the cache too full for its next batch stops there; it is
called again when the cache has been emptied.
"""

from bpe.kernels.cache_state import (
    ARENA,
    ARENA_SIZE,
    ARENA_SPARE,
    ARENA_USED,
    BATCH,
    CACHE_FULL,
    CLASSES,
    ID_BYTES,
    LONGEST_KEPT,
    MERGE_NEEDED,
    MERGE_ROOM,
    NOT_UTF8,
    NUM_USED,
    OUTPUT,
    PATTERN,
    POSITION,
    SCRATCH,
    SLOT_BYTES,
    SLOT_MASK,
    SLOTS,
    TOO_LONG,
    VALUE_BYTES,
)
from bpe.kernels.compiler import inlined, shared
from bpe.kernels.hashing import copy_bytes, equal_bytes, hash_of, is_long, key_length, key_of
from bpe.kernels.memory import load8, prefetch, shift_right, store4, store8
from bpe.kernels.merge_pretoken import LONGEST_IN_MASK, merge_long, merge_short
from bpe.kernels.scan import scan
from bpe.kernels.special_search import find_special

_SIZE_BITS = 16


@shared
def encode_cached(state: int, start: int, stop: int, out: int, trie: int) -> int:
    """Write the ids of a text to `out`; return where they end, or what is in the way.

    `trie` is that of the special tokens, 0 if there are none. The output has room for as many ids
    as the text has bytes, and for 8 bytes more. When the result is CACHE_FULL or TOO_LONG then
    POSITION and OUTPUT are where to go on.
    """
    # A word of the scratch that the scanner leaves alone between two calls.
    found = load8(state + 8 * SCRATCH) + 8 * (BATCH + 7)
    while start < stop:
        special = find_special(start, stop, trie, found) if trie else stop
        length = load8(found) & 0xFFFF_FFFF if trie else 0
        token_id = shift_right(load8(found), 32) if trie else 0
        out = _encode_ordinary(state, start, special, out)
        if out < 0:
            return out
        if length:
            store4(out, token_id)
            out += load8(state + 8 * ID_BYTES)
        start = special + length
    return out


@shared
def encode_documents(
    state: int, start: int, stops: int, first: int, number: int, out: int, trie: int, outs: int
) -> int:
    """Encode documents `first` to `number`, which lie one behind the other, each by itself.

    `stops` holds where each of them ends; where the ids of each end goes to `outs`, 8 bytes for
    each. Returns `number`, or what is in the way: then `outs` has the document's index behind all.
    """
    for index in range(first, number):
        stop = load8(stops + 8 * index)
        out = encode_cached(state, start, stop, out, trie)
        if out < 0:
            store8(outs + 8 * number, index)
            return out
        store8(outs + 8 * index, out)
        start = stop
    return number


@shared
def seed_cache(state: int, start: int, ends: int, ids: int, number: int) -> int:
    """Put pretokens, which lie one behind the other, into the cache; there is room for them.

    `ids` holds the id of each, 8 bytes, -1 for those that are to be merged; those are left out
    unless the pattern takes them for one pretoken.
    """
    scratch = load8(state + 8 * SCRATCH)
    classes = load8(state + 8 * CLASSES)
    pattern = load8(state + 8 * PATTERN)
    out = scratch + 8 * (BATCH + 8)
    for index in range(number):
        end = load8(ends + 8 * index)
        low, high = key_of(start, end - start)
        slot = _find(state, _home(state, low, high), low, high, start)
        token_id = load8(ids + 8 * index)
        if not load8(slot + 8):
            if token_id >= 0:
                store4(out, token_id)
                _keep(state, slot, low, high, start, out, load8(state + 8 * ID_BYTES))
            elif (
                end - start <= LONGEST_IN_MASK
                and scan(pattern, start, end, classes, scratch, BATCH) == 1
            ):
                size = merge_short(state, start, end - start, out) - out
                _keep(state, slot, low, high, start, out, size)
        start = end
    return 0


@shared
def _encode_ordinary(state: int, position: int, stop: int, out: int) -> int:
    """Encode text that holds no special tokens."""
    ends = load8(state + 8 * SCRATCH)
    keys = ends + 8 * (BATCH + 8)
    classes = load8(state + 8 * CLASSES)
    pattern = load8(state + 8 * PATTERN)
    arena = load8(state + 8 * ARENA)
    most_used = load8(state + 8 * SLOT_MASK) // 4 * 3
    fullest_arena = load8(state + 8 * ARENA_SIZE) - ARENA_SPARE
    while position < stop:
        number = scan(pattern, position, stop, classes, ends, BATCH)
        if number < 0:
            return NOT_UTF8
        if (
            load8(state + 8 * NUM_USED) + number > most_used
            or load8(state + 8 * ARENA_USED) > fullest_arena
        ):
            store8(state + 8 * POSITION, position)
            store8(state + 8 * OUTPUT, out)
            return CACHE_FULL

        start = position
        key = keys
        for index in range(number):
            end = load8(ends + 8 * index)
            low, high = key_of(start, end - start)
            slot = _home(state, low, high)
            prefetch(slot)
            store8(key, low)
            store8(key + 8, high)
            store8(key + 16, slot)
            key += 24
            start = end

        start = position
        key = keys
        for index in range(number):
            low = load8(key)
            high = load8(key + 8)
            slot = _find(state, load8(key + 16), low, high, start)
            if load8(slot + 8):
                sizes = load8(slot + 24)
                size = sizes & 0xFFFF
                if size <= VALUE_BYTES:
                    store8(out, load8(slot + 16))
                else:
                    copy_bytes(out, _ids_in_arena(arena, high, sizes), size)
                out += size
            else:
                end = load8(ends + 8 * index)
                after = _miss(state, slot, low, high, start, end - start, out)
                if after < 0:
                    store8(state + 8 * POSITION, start)
                    store8(state + 8 * OUTPUT, out)
                    return after
                out = after
            start = load8(ends + 8 * index)
            key += 24
        position = start
    return out


@inlined
def _home(state: int, low: int, high: int) -> int:
    place = hash_of(low, high) & load8(state + 8 * SLOT_MASK)
    return load8(state + 8 * SLOTS) + SLOT_BYTES * place


@inlined
def _find(state: int, slot: int, low: int, high: int, source: int) -> int:
    """Return the slot with that key, from `slot` on, or the free one where it belongs."""
    while True:
        found = load8(slot + 8)
        if not found:
            return slot
        if found == high and load8(slot) == low and _is_same(state, slot, high, source):
            return slot
        slot += SLOT_BYTES
        last = load8(state + 8 * SLOTS) + SLOT_BYTES * load8(state + 8 * SLOT_MASK)
        if slot > last:
            slot = load8(state + 8 * SLOTS)


@inlined
def _is_same(state: int, slot: int, high: int, source: int) -> int:
    if not is_long(high):
        return 1
    stored = load8(state + 8 * ARENA) + shift_right(load8(slot + 24), _SIZE_BITS)
    return equal_bytes(stored, source, key_length(high))


@inlined
def _ids_in_arena(arena: int, high: int, sizes: int) -> int:
    return (
        arena
        + shift_right(sizes, _SIZE_BITS)
        + (_filled_up(key_length(high)) if is_long(high) else 0)
    )


@inlined
def _filled_up(length: int) -> int:
    return (length + 7) & ~7


@shared
def _miss(state: int, slot: int, low: int, high: int, start: int, length: int, out: int) -> int:
    """Merge a pretoken, and keep its ids in the free slot; return where they end, or TOO_LONG."""
    if length <= LONGEST_IN_MASK:
        after = merge_short(state, start, length, out)
    elif length <= load8(state + 8 * MERGE_ROOM):
        after = merge_long(state, start, length, out)
    else:
        store8(state + 8 * MERGE_NEEDED, length)
        return TOO_LONG
    if length <= LONGEST_KEPT:
        _keep(state, slot, low, high, start, out, after - out)
    return after


@shared
def _keep(state: int, slot: int, low: int, high: int, source: int, ids: int, size: int) -> None:
    offset = load8(state + 8 * ARENA_USED)
    arena = load8(state + 8 * ARENA)
    used = offset
    if is_long(high):
        length = key_length(high)
        copy_bytes(arena + used, source, length)
        used += _filled_up(length)
    if size > VALUE_BYTES:
        copy_bytes(arena + used, ids, size)
        used += _filled_up(size)
    store8(state + 8 * ARENA_USED, used)
    store8(state + 8 * NUM_USED, load8(state + 8 * NUM_USED) + 1)
    store8(slot, low)
    store8(slot + 8, high)
    store8(slot + 16, load8(ids))
    store8(slot + 24, size | offset << _SIZE_BITS)
