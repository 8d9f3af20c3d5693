"""Read single characters of UTF-8 and their classes.

A class is a set of the bits of `character_classes`; `class_at` adds the length in bytes above them:

    bit  0..7   the class        bit 8..   the length, 0 for INVALID
"""

from bpe.kernels.character_classes import BREAK, INVALID, LETTER, NUMBER, ROW_BYTES, SPACE
from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load1, load2, load4, trailing_zeros
from bpe.kernels.vectors import letters

_LENGTH = 256
_WORD_OR_SPACE = LETTER | NUMBER | SPACE | INVALID
# ord() in a kernel would be compiled, and take longer to compile than all else here.
_APOSTROPHE = ord("'")
_D, _E, _L, _M, _R, _S, _T, _V = map(ord, "delmrstv")
# U+017F, the long s, in UTF-8: the only letter but s itself that (?i:s) matches.
_LONG_S = 0xBFC5


@inlined
def class_at(address: int, stop: int, classes: int) -> int:
    """Return class and length of the character at `address`; nothing of it lies beyond `stop`."""
    byte = load1(address)
    if byte < 128:
        return _LENGTH + load1(classes + ROW_BYTES + byte)
    return wide_class_at(address, stop, classes)


@shared
def wide_class_at(address: int, stop: int, classes: int) -> int:
    """Return class and length of a character of two bytes or more, INVALID if there is none."""
    word = load4(address)
    first = word & 0xFF
    second = (word >> 8) & 0xFF
    third = (word >> 16) & 0xFF
    fourth = word >> 24
    if first < 0xC2 or (second & 0xC0) != 0x80:
        return INVALID
    if first < 0xE0:
        code_point = (first & 0x1F) << 6 | (second & 0x3F)
        length = 2
    elif (third & 0xC0) != 0x80:
        return INVALID
    elif first < 0xF0:
        code_point = (first & 0xF) << 12 | (second & 0x3F) << 6 | (third & 0x3F)
        length = 3
        if code_point < 0x800 or code_point >> 11 == 0x1B:
            return INVALID
    else:
        code_point = (first & 0x7) << 18 | (second & 0x3F) << 12
        code_point |= (third & 0x3F) << 6 | (fourth & 0x3F)
        length = 4
        if first > 0xF4 or (fourth & 0xC0) != 0x80 or not 0x10000 <= code_point < 0x110000:
            return INVALID
    if address + length > stop:
        return INVALID
    row = load2(classes + 2 * (code_point >> 8))
    return _LENGTH * length + load1(classes + ROW_BYTES + 256 * row + (code_point & 0xFF))


@inlined
def length_of(found: int) -> int:
    """Return the length that `class_at` found."""
    return found >> 8


@inlined
def skip_class(address: int, stop: int, classes: int, wanted: int) -> int:
    """Return where the characters that have a bit of `wanted` end."""
    while address < stop:
        found = class_at(address, stop, classes)
        if not found & wanted:
            break
        address += length_of(found)
    return address


@inlined
def skip_letters(address: int, stop: int, classes: int) -> int:
    """Return where the letters end, those of ASCII taken 64 at a time."""
    while address < stop:
        run = trailing_zeros(~letters(address))
        address += run
        if run < 64:
            if address >= stop:
                return stop
            if load1(address) < 128:
                return address
            found = wide_class_at(address, stop, classes)
            if not found & LETTER:
                return address
            address += length_of(found)
    return min(address, stop)


@inlined
def skip_others(address: int, stop: int, classes: int) -> int:
    """Return where the characters end that are no letters, numbers or whitespace."""
    while address < stop:
        found = class_at(address, stop, classes)
        if found & _WORD_OR_SPACE:
            break
        address += length_of(found)
    return address


@inlined
def skip_digits(address: int, stop: int, classes: int) -> int:
    """Return where the numbers end, at most three."""
    for _ in range(3):
        if address >= stop:
            break
        found = class_at(address, stop, classes)
        if not found & NUMBER:
            break
        address += length_of(found)
    return address


@inlined
def skip_spaces(address: int, stop: int, classes: int, joins_end: int) -> int:
    r"""Return the end of the pretoken of whitespace `\s*[\r\n]+|\s+(?!\S)|\s+`.

    With `joins_end` that pattern begins with `\s++$`.
    """
    last = address
    after_break = 0
    position = address
    while position < stop:
        found = class_at(position, stop, classes)
        if not found & SPACE:
            break
        last = position
        position += length_of(found)
        if found & BREAK:
            after_break = position
    if after_break and not (joins_end and position >= stop):
        return after_break
    if position < stop and last > address:
        return last
    return position


@inlined
def contraction(address: int, stop: int) -> int:
    """Return the length of 's, 'd, 'm, 't, 'll, 've or 're, in either case, at `address`, or 0."""
    if address + 1 >= stop or load1(address) != _APOSTROPHE:
        return 0
    first = load1(address + 1) | 0x20
    if first == _S or first == _D or first == _M or first == _T:  # noqa: SIM109 (compiles faster)
        return 2
    if address + 2 >= stop:
        return 0
    second = load1(address + 2) | 0x20
    if first == _L and second == _L:
        return 3
    if (first == _V or first == _R) and second == _E:  # noqa: SIM109
        return 3
    if load2(address + 1) == _LONG_S:
        return 3
    return 0
