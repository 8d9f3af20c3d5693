"""The words of the state that `count` shares with Python, and what its kernels return."""

SLOTS = 0  # address of the slots
SLOT_MASK = 1  # their number less one; the number is a power of two
NUM_USED = 2  # slots that are taken
ARENA = 3  # address of the bytes of long pretokens
ARENA_USED = 4
ARENA_SIZE = 5
CLASSES = 6  # address of the table of character classes
TRIE = 7  # address of the trie of special tokens, 0 if there are none
PATTERN = 8  # number of the pattern
SCRATCH = 9  # address of SCRATCH_WORDS words
POSITION = 10  # address of the text that comes next
ARENA_NEEDED = 11  # bytes that the arena must have free to go on
NUM_WORDS = 12

# Pretokens that are scanned before they are looked up.
BATCH = 256
SCRATCH_WORDS = BATCH + 8 + 3 * BATCH

SLOT_BYTES = 32
# Pretokens of up to so many bytes are their own key.
LONGEST_SHORT = 15

DONE = 0
TABLE_FULL = 1
ARENA_FULL = 2
NOT_UTF8 = 3
