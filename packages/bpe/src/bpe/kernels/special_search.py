"""Find the first of many special tokens in a text; where several start the longest wins.

The specials form a trie. All numbers are 64-bit words:

    word  0..3    up to four bytes that a special can start with, repeated to make four
    word  4       1 if those are all, else 0
    word  5..260  for each first byte its node, 0 if no special starts so
    then nodes of four words, node 0 unused:
                  its byte | length of the special that ends here, with its id in the upper
                  half, 0 if none ends | first child | next sibling

`special_trie` builds it.
"""

from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load1, load8, low_bits, store8, trailing_zeros
from bpe.kernels.special_trie import FIRST_BYTES_ARE_ALL, NODE_OF_BYTE, NODE_WORDS, NODES
from bpe.kernels.vectors import equals


@shared
def find_special(start: int, stop: int, trie: int, special: int) -> int:
    """Return where the first special begins, `stop` if there is none.

    Its length is stored at `special`, with its id in the upper half; 0 if there is none.
    """
    store8(special, 0)
    if load8(trie + 8 * FIRST_BYTES_ARE_ALL):
        for block in range(start, stop, 64):
            found = equals(block, load8(trie)) | equals(block, load8(trie + 8))
            found |= equals(block, load8(trie + 16)) | equals(block, load8(trie + 24))
            found &= low_bits(min(64, stop - block))
            while found:
                position = block + trailing_zeros(found)
                found &= found - 1
                longest = _longest_match(position, stop, trie)
                if longest:
                    store8(special, longest)
                    return position
        return stop
    for position in range(start, stop):
        if load8(trie + 8 * (NODE_OF_BYTE + load1(position))):
            longest = _longest_match(position, stop, trie)
            if longest:
                store8(special, longest)
                return position
    return stop


@inlined
def _longest_match(start: int, stop: int, trie: int) -> int:
    longest = 0
    nodes = trie + 8 * NODES
    node = load8(trie + 8 * (NODE_OF_BYTE + load1(start)))
    position = start + 1
    while node:
        entry = nodes + 8 * NODE_WORDS * node
        if load8(entry + 8):
            longest = load8(entry + 8)
        if position >= stop:
            break
        byte = load1(position)
        position += 1
        node = load8(entry + 16)
        while node and load8(nodes + 8 * NODE_WORDS * node) != byte:
            node = load8(nodes + 8 * NODE_WORDS * node + 24)
    return longest
