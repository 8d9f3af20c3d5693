"""Lay the pretokens of a table out as symbols and weights; layouts are in `merge_state`."""

from bpe.kernels.count_state import ARENA, SLOT_BYTES, SLOT_MASK, SLOTS
from bpe.kernels.hashing import is_long, key_length
from bpe.kernels.memory import load1, load8, store4, store8
from bpe.kernels.merge_state import SEPARATOR


def measure_pretokens(table: int, sizes: int) -> int:
    """Store how many pretokens of two bytes or more a table has, and how many bytes they have."""
    number = 0
    num_bytes = 0
    slot = load8(table + 8 * SLOTS)
    for _ in range(load8(table + 8 * SLOT_MASK) + 1):
        if load8(slot + 16):
            length = key_length(load8(slot + 8))
            if length > 1:
                number += 1
                num_bytes += length
        slot += SLOT_BYTES
    store8(sizes, number)
    store8(sizes + 8, num_bytes)
    return 0


def spread_pretokens(table: int, symbols: int, weights: int) -> int:
    """Write the symbols and the weights of those pretokens; one of a single byte has no pair."""
    arena = load8(table + 8 * ARENA)
    slot = load8(table + 8 * SLOTS)
    store4(symbols, SEPARATOR)
    symbols += 4
    for _ in range(load8(table + 8 * SLOT_MASK) + 1):
        length = key_length(load8(slot + 8))
        if load8(slot + 16) and length > 1:
            # A short pretoken lies in the slot itself, byte by byte.
            source = arena + load8(slot + 24) if is_long(load8(slot + 8)) else slot
            for offset in range(length):
                store4(symbols, load1(source + offset))
                symbols += 4
            store4(symbols, SEPARATOR)
            symbols += 4
            store8(weights, load8(slot + 16))
            weights += 8
        slot += SLOT_BYTES
    return 0
