"""Keys of byte strings, and where in a hash table a key belongs.

    length    low word              high word
    1..15     bytes 0 to 7          bytes 8 to 14, the length in the top byte
    16..      a hash of all bytes   the length, LONG in the top byte

Up to 15 bytes two equal keys mean equal strings. Of longer ones the bytes must be compared.
"""

from bpe.kernels.compiler import inlined, shared
from bpe.kernels.count_state import LONGEST_SHORT
from bpe.kernels.memory import high_product, load8, low_bits, shift_right, store8

LONG = 0xFF << 56

# Any odd numbers with as many ones as zeros would do.
_FACTOR = 0x2D35_8DCC_AA6C_78A5
_MASK = 0x0BB8_4B93_962E_ACC9


@inlined
def is_long(high: int) -> int:
    """Whether the key with this high word is that of a string of more than 15 bytes."""
    return 1 if shift_right(high, 56) == 0xFF else 0


@inlined
def key_length(high: int) -> int:
    """Return the length of the string of the key with this high word."""
    return high & ~LONG if is_long(high) else shift_right(high, 56)


@inlined
def key_of(address: int, length: int) -> tuple[int, int]:
    """Return the low and the high word of the key of a string."""
    if length > LONGEST_SHORT:
        return _hash_bytes(address, length), LONG | length
    low = load8(address) & low_bits(8 * min(length, 8))
    return low, load8(address + 8) & low_bits(8 * max(length - 8, 0)) | length << 56


@shared
def _hash_bytes(address: int, length: int) -> int:
    value = length
    for offset in range(0, length - 8, 8):
        value = mix(value ^ load8(address + offset), _FACTOR)
    return mix(value ^ load8(address + length - 8), _MASK)


@inlined
def mix(left: int, right: int) -> int:
    """Fold the 128-bit product of two words into one that depends on all their bits."""
    return left * right ^ high_product(left, right)


@inlined
def hash_of(low: int, high: int) -> int:
    """Return a hash of a key, whose low bits choose the slot."""
    return mix(low ^ _FACTOR, high ^ _MASK)


@inlined
def equal_bytes(left: int, right: int, length: int) -> int:
    """Whether two strings of the same length, 8 bytes at least, are equal."""
    for offset in range(0, length - 8, 8):
        if load8(left + offset) != load8(right + offset):
            return 0
    return 1 if load8(left + length - 8) == load8(right + length - 8) else 0


@inlined
def copy_bytes(target: int, source: int, length: int) -> None:
    """Copy `length` bytes; up to 7 more are written behind them."""
    for offset in range(0, length, 8):
        store8(target + offset, load8(source + offset))
