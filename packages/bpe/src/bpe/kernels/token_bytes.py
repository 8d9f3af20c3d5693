"""Join the bytes of tokens: look the lengths up first, then copy.

    offsets   8 bytes for each id and one more: where its bytes begin in `tokens`
    tokens    the bytes of all tokens in order of their ids; 16 more can be read

An id without a token has no bytes, which no token has.
"""

from bpe.kernels.compiler import inlined, shared
from bpe.kernels.memory import load1, load2, load4, load8, store1, store8


@shared
def measure_tokens(ids: int, id_bytes: int, number: int, offsets: int, num_ids: int) -> int:
    """Return how many bytes the tokens have, or -1 if one of the ids has none.

    An id takes `id_bytes`: 2 or 4, without a sign, or 8.
    """
    num_bytes = 0
    for index in range(number):
        token_id = _load_id(ids + id_bytes * index, id_bytes)
        if token_id < 0 or token_id >= num_ids:
            return -1
        length = load8(offsets + 8 * token_id + 8) - load8(offsets + 8 * token_id)
        if not length:
            return -1
        num_bytes += length
    return num_bytes


@shared
def copy_tokens(
    ids: int, id_bytes: int, number: int, offsets: int, tokens: int, out: int, end: int
) -> int:
    """Write the bytes of the tokens from `out` to `end`, as many as `measure_tokens` returned."""
    for index in range(number):
        token_id = _load_id(ids + id_bytes * index, id_bytes)
        offset = load8(offsets + 8 * token_id)
        length = load8(offsets + 8 * token_id + 8) - offset
        source = tokens + offset
        if out + length + 8 <= end:
            # Nearly all tokens end here; what is written behind them is overwritten.
            store8(out, load8(source))
            for done in range(8, length, 8):
                store8(out + done, load8(source + done))
        else:
            for done in range(length):
                store1(out + done, load1(source + done))
        out += length
    return out


@inlined
def _load_id(place: int, id_bytes: int) -> int:
    if id_bytes == 2:
        return load2(place)
    return load4(place) if id_bytes == 4 else load8(place)
