"""The words of the state that the merging kernels share with Python, and their layouts.

    symbols   int32   one for each byte of the distinct pretokens, and SEPARATOR before each and
                      after the last. A token of n bytes holds its number in the first and in the
                      last of its n symbols, so that both neighbours of a token can be found:

                          . t h e . t h i n .       bytes, . for SEPARATOR
                          . A   A . B   i n .       the in one token, th in another

    weights   int64   how often each pretoken occurs
    slots     32 B    open addressing: pair, count, offset of its places, number of them
    places    8 B     where a pair stood when it arose: position of its first symbol, and the number
                      of its pretoken in the upper half. In ascending order. Some are out of date.
    heap      16 B    count, pair; the count may be out of date, but is never too small
    tokens    32 B    first 8 bytes (big-endian), length, offset of its bytes, rank
    merges    8 B     the pair of each merge
    sides     32 B    for each token, while one pair is merged: what is told in `merge`

A pair of tokens is one word: the left number in the upper half, the right one in the lower. A slot
is free when its pair is FREE, which is the pair of two tokens that are never merged first.
"""

SYMBOLS = 0  # address
NUM_SYMBOLS = 1
WEIGHTS = 2  # address
SLOTS = 3  # address
SLOT_MASK = 4  # number of slots less one
NUM_SLOTS_USED = 5
PLACES = 6  # address
PLACES_USED = 7
PLACES_SIZE = 8
HEAP = 9  # address
HEAP_USED = 10
HEAP_SIZE = 11
TOKENS = 12  # address
LENGTHS = 13  # address of the lengths of the tokens again, as int32
NUM_TOKENS = 14
BYTES = 15  # address of the bytes of the tokens
BYTES_USED = 16
BYTES_SIZE = 17
MERGES = 18  # address
SIDES = 19  # address
TOUCHED = 20  # address of two lists of tokens, room for all tokens in each
MAX_TOKENS = 21
THRESHOLD = 22  # pairs that are rarer are not followed
BY_RANK = 23  # 1: of equally frequent pairs the one of lower ranks; 0: of greater bytes
FILTER = 24  # address of FILTER_SIZE words
NUM_WORDS = 25

SEPARATOR = -1
FREE = -1
SLOT_BYTES = 32
PLACE_BYTES = 8
HEAP_BYTES = 16
TOKEN_BYTES = 32
SIDE_BYTES = 32
FILTER_SIZE = 1 << 20

DONE = 0
NO_PAIR = 1  # no pair is left that is frequent enough to be followed
# Of these there might not be enough for the next merge.
NO_SLOTS = 2
NO_PLACES = 3
NO_HEAP = 4
NO_BYTES = 5
