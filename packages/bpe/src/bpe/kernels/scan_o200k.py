r"""Cut text into pretokens of the o200k pattern, one at a time.

PREFIX? FRONT* REAR+ CONTRACTION? | PREFIX? FRONT+ REAR* CONTRACTION?
|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+

PREFIX       [^\r\n\p{L}\p{N}]              a mark is one too
FRONT, REAR  upper and lower case; letters without case and marks are both
CONTRACTION  (?i:'s|'t|'re|'ve|'m|'ll|'d)
"""

from bpe.kernels.character_classes import BREAK, FRONT, INVALID, NUMBER, REAR, SPACE
from bpe.kernels.characters import (
    class_at,
    contraction,
    length_of,
    skip_digits,
    skip_others,
    skip_spaces,
)
from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load1, store8, trailing_zeros
from bpe.kernels.vectors import in_range

_BLANK = ord(" ")
_SLASH = ord("/")
_RETURN = ord("\r")
_FEED = ord("\n")
_A = ord("a")


@shared
def scan_o200k(start: int, stop: int, classes: int, ends: int, capacity: int) -> int:
    """Store the ends of the pretokens of the text from `start` to `stop`; return how many.

    At most `capacity` are stored: go on at the last. Returns -1 if the text is not UTF-8.
    """
    count = 0
    while start < stop and count < capacity:
        start = _pretoken_end(start, stop, classes)
        if not start:
            return -1
        store8(ends + 8 * count, start)
        count += 1
    return count


@inlined
def _pretoken_end(start: int, stop: int, classes: int) -> int:
    found = class_at(start, stop, classes)
    if found & NUMBER:
        return skip_digits(start, stop, classes)
    if found & INVALID:
        return 0
    if found & (FRONT | REAR):
        return _word_end(start, stop, classes)
    after = start + length_of(found)
    following = class_at(after, stop, classes) if after < stop else INVALID
    if following & (FRONT | REAR) and not found & BREAK:
        return _word_end(after, stop, classes)
    if found & SPACE and (load1(start) != _BLANK or following & (SPACE | NUMBER | INVALID)):
        return skip_spaces(start, stop, classes, 0)
    return _skip_breaks_and_slashes(skip_others(after, stop, classes), stop)


@shared
def _word_end(start: int, stop: int, classes: int) -> int:
    """Return the end of the word whose first letter or mark is at `start`.

    FRONT* takes all that it can. If no REAR follows it gives characters back until one of them
    can be the REAR+; if none can, the second alternative takes them all.
    """
    position = start
    after_rear = 0
    found = 0
    while position < stop:
        found = class_at(position, stop, classes)
        if not found & FRONT:
            break
        position += length_of(found)
        if found & REAR:
            after_rear = position
    if position < stop and found & REAR:
        position = _skip_rear(position, stop, classes)
    elif after_rear:
        position = after_rear
    return position + contraction(position, stop)


@inlined
def _skip_rear(address: int, stop: int, classes: int) -> int:
    while address < stop:
        run = trailing_zeros(~in_range(address, _A, 26))
        address += run
        if run < 64:
            if address >= stop:
                return stop
            found = class_at(address, stop, classes)
            if not found & REAR:
                return address
            address += length_of(found)
    return min(address, stop)


@inlined
def _skip_breaks_and_slashes(address: int, stop: int) -> int:
    while address < stop:
        byte = load1(address)
        if byte != _RETURN and byte != _FEED and byte != _SLASH:
            break
        address += 1
    return address
