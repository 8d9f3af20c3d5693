"""Ids to bytes and text: all at once, or whole characters as the ids come in."""

import codecs
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def join_tokens(tokens: Mapping[int, bytes], ids: Iterable[int]) -> bytes:
    """Return the joined bytes of `ids`. Raises ValueError for an id that `tokens` lacks."""
    # An array's own list holds plain integers.
    listed: list[Any] = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    # A dictionary alone would take 1.0 and True for 1.
    if set(map(type, listed)) <= {int}:
        try:
            return b"".join(map(tokens.__getitem__, listed))
        except KeyError:
            pass  # said below, with its position
    return b"".join(look_up_tokens(tokens, listed))


def look_up_tokens(tokens: Mapping[int, bytes], ids: Iterable[Any]) -> Iterator[bytes]:
    """Yield the bytes of each id. Raises ValueError with the position of one that has none."""
    for position, token_id in enumerate(ids):
        try:
            index = operator.index(token_id)
        except TypeError:
            index = -1
        token = tokens.get(index)
        if token is None:
            last = max(tokens)
            reason = "is unused" if 0 <= index <= last else f"is outside 0..{last}"
            raise ValueError(f"token id {token_id} at position {position} {reason}")
        yield token


def decode_pieces(tokens: Iterable[bytes]) -> Iterator[str]:
    """Decode the joined UTF-8 piece by piece, never half a character; no piece is empty.

    Malformed bytes become U+FFFD as soon as they are known to be malformed.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in tokens:
        if piece := decoder.decode(token):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece
