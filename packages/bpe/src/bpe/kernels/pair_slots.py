"""Find the slot of a pair; layouts are in `merge_state`."""

from bpe.kernels.compiler import inlined
from bpe.kernels.hashing import mix
from bpe.kernels.memory import load8, store8
from bpe.kernels.merge_state import FREE, NUM_SLOTS_USED, SLOT_BYTES, SLOT_MASK, SLOTS

_FACTOR = 0x2D35_8DCC_AA6C_78A5


@inlined
def home_slot(state: int, pair: int) -> int:
    """Return the address of the slot where the search for a pair begins."""
    place = mix(pair, _FACTOR) & load8(state + 8 * SLOT_MASK)
    return load8(state + 8 * SLOTS) + SLOT_BYTES * place


@inlined
def find_slot(state: int, pair: int) -> int:
    """Return the address of the slot of a pair, or of the free one where it belongs."""
    slot = home_slot(state, pair)
    last = load8(state + 8 * SLOTS) + SLOT_BYTES * load8(state + 8 * SLOT_MASK)
    while load8(slot) != pair and load8(slot) != FREE:
        slot = slot + SLOT_BYTES if slot < last else load8(state + 8 * SLOTS)
    return slot


@inlined
def take_slot(state: int, slot: int, pair: int) -> None:
    """Give a free slot to a pair."""
    store8(slot, pair)
    store8(slot + 8, 0)
    store8(slot + 24, 0)
    store8(state + 8 * NUM_SLOTS_USED, load8(state + 8 * NUM_SLOTS_USED) + 1)


def move_slots(state: int, slots: int, num_slots: int) -> int:
    """Take other slots, all of them free, and copy the pairs that are still followed into them."""
    old = load8(state + 8 * SLOTS)
    end = old + SLOT_BYTES * (load8(state + 8 * SLOT_MASK) + 1)
    store8(state + 8 * SLOTS, slots)
    store8(state + 8 * SLOT_MASK, num_slots - 1)
    store8(state + 8 * NUM_SLOTS_USED, 0)
    while old < end:
        if load8(old) != FREE and load8(old + 8):
            slot = find_slot(state, load8(old))
            take_slot(state, slot, load8(old))
            for offset in range(8, SLOT_BYTES, 8):
                store8(slot + offset, load8(old + offset))
        old += SLOT_BYTES
    return 0
