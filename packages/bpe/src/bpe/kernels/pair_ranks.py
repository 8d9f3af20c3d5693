"""Find the rank of a pair of ids: an open-addressing table, one word a slot.

    slot   left id, 21 bits | right id, 21 bits | rank, 21 bits          FREE: all bits set

Most pairs that are looked up are no merge, so that the search must end soon: the table is at most
half full. Pairs of two bytes, which are most of them, have a table that needs no search:

    BYTE_PAIRS   4 bytes for each pair of bytes, the first one in the low bits of the index
"""

from bpe.kernels.cache_state import BYTE_IDS, BYTE_PAIRS, NO_RANK, PAIR_BITS, PAIRS, PRODUCTS
from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load4, load8, low_bits, shift_right, store4, store8

FREE = -1
_ID_BITS = 21
_FACTOR = 0x2D35_8DCC_AA6C_78A5


@inlined
def rank_of(state: int, left: int, right: int) -> int:
    """Return the rank of the merge of two ids, NO_RANK if there is none."""
    pair = left << _ID_BITS | right
    slots = load8(state + 8 * PAIRS)
    bits = load8(state + 8 * PAIR_BITS)
    place = shift_right(pair * _FACTOR, 64 - bits)
    while True:
        slot = load8(slots + 8 * place)
        if shift_right(slot, _ID_BITS) == pair:
            return slot & low_bits(_ID_BITS)
        if slot == FREE:
            return NO_RANK
        place = (place + 1) & low_bits(bits)


@shared
def fill_pairs(state: int, lefts: int, rights: int, number: int) -> int:
    """Put the merges of these ids, 8 bytes each and in order of rank, into tables that are free."""
    slots = load8(state + 8 * PAIRS)
    bits = load8(state + 8 * PAIR_BITS)
    for rank in range(number):
        pair = load8(lefts + 8 * rank) << _ID_BITS | load8(rights + 8 * rank)
        place = shift_right(pair * _FACTOR, 64 - bits)
        while load8(slots + 8 * place) != FREE:
            place = (place + 1) & low_bits(bits)
        store8(slots + 8 * place, pair << _ID_BITS | rank)
    byte_ids = load8(state + 8 * BYTE_IDS)
    for first in range(256):
        for second in range(256):
            rank = rank_of(state, load4(byte_ids + 4 * first), load4(byte_ids + 4 * second))
            store4(load8(state + 8 * BYTE_PAIRS) + 4 * (second << 8 | first), rank)
    return 0


@inlined
def rank_of_bytes(state: int, two_bytes: int) -> int:
    """Return the rank of the merge of two bytes, loaded as one number."""
    return load4(load8(state + 8 * BYTE_PAIRS) + 4 * two_bytes)


@inlined
def product_of(state: int, rank: int) -> int:
    """Return the id that a merge makes."""
    return load4(load8(state + 8 * PRODUCTS) + 4 * rank)
