"""The words of the state that the kernels of encoding share with Python, and what they return."""

SLOTS = 0  # address of the slots of the cache
SLOT_MASK = 1  # their number less one; the number is a power of two
NUM_USED = 2  # slots that are taken
ARENA = 3  # address of what does not fit into a slot
ARENA_USED = 4
ARENA_SIZE = 5
CLASSES = 6  # address of the table of character classes
PATTERN = 7  # number of the pattern
SCRATCH = 8  # address of SCRATCH_WORDS words
BYTE_IDS = 9  # address of the ids of the 256 bytes, 4 bytes each
BYTE_PAIRS = 10  # address of the ranks of all pairs of two bytes, 4 bytes each
PAIRS = 11  # address of the slots of `pair_ranks`
PAIR_BITS = 12  # their number is 2 ** PAIR_BITS
PRODUCTS = 13  # address of the id that each merge makes, 4 bytes each, by rank
ID_BYTES = 14  # bytes of an id in the output, 2 or 4
MERGE_SPACE = 15  # address where pretokens are merged
MERGE_ROOM = 16  # bytes of the longest pretoken for which that is large enough
POSITION = 17  # where to go on reading
OUTPUT = 18  # where to go on writing
MERGE_NEEDED = 19  # what MERGE_ROOM must be to go on
NUM_WORDS = 20

# Pretokens that are scanned before they are looked up.
BATCH = 256
SCRATCH_WORDS = BATCH + 8 + 3 * BATCH

SLOT_BYTES = 32
# Pretokens of up to so many bytes are their own key.
LONGEST_SHORT = 15
# Longer ones hardly ever come back.
LONGEST_KEPT = 256
# Ids of so many bytes fit into a slot.
VALUE_BYTES = 8
# The arena has so much room at least when a batch begins.
ARENA_SPARE = BATCH * (5 * LONGEST_KEPT + 16)
# For each byte of a pretoken, and for the short ones.
MERGE_BYTES = 32
SMALLEST_MERGE_SPACE = 1024

# Of no merge.
NO_RANK = 0xFFFF_FFFF
# Ids and ranks must be smaller.
LIMIT = 1 << 21

# Where the output ends is a positive number; these are not.
NOT_UTF8 = -1
CACHE_FULL = -2
TOO_LONG = -3
