r"""Cut text into pretokens of the patterns cl100k and llama3, one at a time.

'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
|\s++$|\s*[\r\n]+|\s+(?!\S)|\s+

Only cl100k has `\s++$`: with `joins_end` whitespace that ends the text is one pretoken, line breaks
and all.
"""

from bpe.kernels.character_classes import BREAK, INVALID, LETTER, NUMBER, SPACE
from bpe.kernels.characters import (
    class_at,
    contraction,
    length_of,
    skip_class,
    skip_digits,
    skip_letters,
    skip_others,
    skip_spaces,
)
from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load1, store8

_BLANK = ord(" ")


@shared
def scan_cl100k(
    start: int, stop: int, classes: int, ends: int, capacity: int, joins_end: int
) -> int:
    """Store the ends of the pretokens of the text from `start` to `stop`; return how many.

    At most `capacity` are stored: go on at the last. Returns -1 if the text is not UTF-8.
    """
    count = 0
    while start < stop and count < capacity:
        start = _pretoken_end(start, stop, classes, joins_end)
        if not start:
            return -1
        store8(ends + 8 * count, start)
        count += 1
    return count


@inlined
def _pretoken_end(start: int, stop: int, classes: int, joins_end: int) -> int:
    found = class_at(start, stop, classes)
    after = start + length_of(found)
    if found & LETTER:
        return skip_letters(after, stop, classes)
    if found & NUMBER:
        return skip_digits(start, stop, classes)
    if found & INVALID:
        return 0
    length = contraction(start, stop)
    if length:
        return start + length
    following = class_at(after, stop, classes) if after < stop else INVALID
    if following & LETTER and not found & BREAK:
        return skip_letters(after + length_of(following), stop, classes)
    if found & SPACE and (load1(start) != _BLANK or following & (SPACE | NUMBER | INVALID)):
        return skip_spaces(start, stop, classes, joins_end)
    return skip_class(skip_others(after, stop, classes), stop, classes, BREAK)
