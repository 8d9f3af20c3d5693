r"""Cut text into pretokens of GPT-2's pattern, 64 bytes at a time, by arithmetic on bit masks.

    '(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Bit i of a mask tells of byte i of the block. Where a pretoken starts depends on little more than
the bytes next to it:

    text      I t ' s     9     d o g s , .
    letters   1 1 . 1 . . . . 1 1 1 1 . .      (and numbers, spaces, others in the same way)
    starts    1 . 1 . 1 1 . 1 . . . . 1 .

- a letter, number or other character starts one if the character before it is of another kind,
  but not after a blank (U+0020), which belongs to it;
- whitespace starts one after anything else, and once more at its last character, unless the text
  ends there: this is `\s+(?!\S)`;
- a contraction at an apostrophe that starts a pretoken moves a start from its first letter to
  behind its last.

Characters beyond ASCII set the bits of all their bytes; a block ends before one that it would cut.
"""

from bpe.kernels.character_classes import INVALID, LETTER, NUMBER, SPACE
from bpe.kernels.characters import class_at, length_of, wide_class_at
from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load1, load8, low_bits, shift_right, store8, trailing_zeros
from bpe.kernels.vectors import above_ascii, equals, in_range, letters

_BLANK = ord(" ")
_APOSTROPHE = ord("'")
_ZERO = ord("0")
_D, _E, _L, _M, _R, _S, _T, _V = map(ord, "delmrstv")


@shared
def scan_gpt2(start: int, stop: int, classes: int, ends: int, capacity: int) -> int:
    """Store the ends of the pretokens of the text from `start` to `stop`; return how many.

    Fewer than all are stored when they come near `capacity`, which is 128 at least: go on at the
    last end. `ends` has room for 8 words more. Returns -1 if the text is not UTF-8.
    """
    scratch = ends + 8 * capacity
    count = 0
    block = start
    before_letters = 0
    before_numbers = 0
    before_others = 0
    before_spaces = 0
    before_blanks = 0
    added = 0
    removed = 1
    while block < stop and count <= capacity - 65:
        width = min(64, stop - block)
        inside = low_bits(width)
        letter_mask = letters(block) & inside
        number_mask = in_range(block, _ZERO, 10) & inside
        blanks = equals(block, _BLANK) & inside
        space_mask = (in_range(block, 9, 5) & inside) | blanks
        wide_spaces = 0
        wide = above_ascii(block) & inside
        if wide:
            width = _classify_wide(block, stop, classes, wide, scratch)
            if width < 0:
                return -1
            inside = low_bits(width)
            letter_mask = (letter_mask & inside) | load8(scratch)
            number_mask = (number_mask & inside) | load8(scratch + 8)
            wide_spaces = load8(scratch + 16)
            space_mask = (space_mask & inside) | wide_spaces
            blanks &= inside
        other_mask = inside & ~(letter_mask | number_mask | space_mask)

        same = letter_mask & (letter_mask << 1 | before_letters)
        same |= number_mask & (number_mask << 1 | before_numbers)
        same |= other_mask & (other_mask << 1 | before_others)
        starts = inside & ~(space_mask | same | blanks << 1 | before_blanks)
        starts |= space_mask & ~(space_mask << 1 | before_spaces)

        final = 1 << (width - 1)
        followed = shift_right(space_mask, 1)
        if space_mask & final and (
            block + width >= stop or class_at(block + width, stop, classes) & SPACE
        ):
            followed |= final
        last_spaces = space_mask & ~followed
        if last_spaces & wide_spaces:
            last_spaces = _first_bytes(block, last_spaces)
        starts |= last_spaces

        next_added = 0
        next_removed = 0
        apostrophes = equals(block, _APOSTROPHE) & starts
        if apostrophes:
            short = apostrophes & _short_contractions(block) & low_bits(min(64, stop - block - 1))
            long = apostrophes & _long_contractions(block)
            long &= low_bits(max(0, min(64, stop - block - 2)))
            removed |= (short | long) << 1
            added |= short << 2 | long << 3
            next_removed = shift_right(short | long, width - 1)
            next_added = shift_right(short, width - 2) | shift_right(long, width - 3)
        starts = ((starts & ~removed) | added) & inside
        added = next_added
        removed = next_removed

        while starts:
            store8(ends + 8 * count, block + trailing_zeros(starts))
            count += 1
            starts &= starts - 1

        last = width - 1
        before_letters = shift_right(letter_mask, last) & 1
        before_numbers = shift_right(number_mask, last) & 1
        before_others = shift_right(other_mask, last) & 1
        before_spaces = shift_right(space_mask, last) & 1
        before_blanks = shift_right(blanks, last) & 1
        block += width
    if block >= stop:
        store8(ends + 8 * count, stop)
        count += 1
    return count


@inlined
def _short_contractions(block: int) -> int:
    after = block + 1
    return equals(after, _S) | equals(after, _D) | equals(after, _M) | equals(after, _T)


@inlined
def _long_contractions(block: int) -> int:
    found = (equals(block + 1, _V) | equals(block + 1, _R)) & equals(block + 2, _E)
    return found | (equals(block + 1, _L) & equals(block + 2, _L))


@shared
def _classify_wide(block: int, stop: int, classes: int, wide: int, scratch: int) -> int:
    """Store the letter, number and space masks of the bytes in `wide`; return the block's width.

    Returns -1 if the text is not UTF-8.
    """
    letter_mask = 0
    number_mask = 0
    space_mask = 0
    width = min(64, stop - block)
    while wide:
        position = trailing_zeros(wide)
        found = wide_class_at(block + position, stop, classes)
        if found & INVALID:
            return -1
        length = length_of(found)
        if position + length > 64:
            width = position
            break
        bytes_of_it = low_bits(length) << position
        wide &= ~bytes_of_it
        if found & LETTER:
            letter_mask |= bytes_of_it
        elif found & NUMBER:
            number_mask |= bytes_of_it
        elif found & SPACE:
            space_mask |= bytes_of_it
    store8(scratch, letter_mask)
    store8(scratch + 8, number_mask)
    store8(scratch + 16, space_mask)
    return width


@shared
def _first_bytes(block: int, mask: int) -> int:
    """Move each bit from the last byte of a character to its first."""
    moved = 0
    while mask:
        position = trailing_zeros(mask)
        mask &= mask - 1
        while load1(block + position) & 0xC0 == 0x80:
            position -= 1
        moved |= 1 << position
    return moved
