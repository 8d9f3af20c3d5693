"""Merge the bytes of one pretoken into token ids.

The rule, for any list of merges: of all neighbours that some merge joins, the pair whose merge
comes first in the list is joined first, the leftmost one if there are several, and so on until no
merge applies. What a pair's merge is worth is its position in the list, never its ids.

Two ways to the same ids:
- short pretokens: a list of the pairs' ranks, searched anew after each merge. The search is
  quadratic in the length, but runs at the speed of `min`.
- long ones: a linked list of the parts, and for every rank the positions where it waits. Each
  position is looked at once per merge that touches it, so the work is near-linear.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

# Where the two ways take equal time (measured on English words and on runs of one letter).
_SHORT = 40


class MergeTable:
    """The merges of a vocabulary, by ids.

    `ids` maps the 256 bytes and both sides and the product of every merge to their ids. With
    `whole`, a pretoken found there is that token at once, whatever the merges would have made.
    """

    def __init__(
        self,
        ids: Mapping[bytes, int],
        merges: Sequence[tuple[bytes, bytes]],
        whole: Mapping[bytes, int] | None = None,
    ) -> None:
        self._byte_ids = [ids[bytes((byte,))] for byte in range(256)]
        self._products = [ids[left + right] for left, right in merges]
        self._stride = stride = 1 + max(ids.values())
        # A pair is one integer, which hashes faster than a tuple of two.
        self._ranks = {
            ids[left] * stride + ids[right]: rank for rank, (left, right) in enumerate(merges)
        }
        self._none = len(merges)
        self._whole = whole or {}

    def encode(self, pretoken: str) -> tuple[int, ...]:
        """Return the ids of one pretoken. Raises UnicodeEncodeError for a lone surrogate."""
        data = pretoken.encode()
        if data in self._whole:
            return (self._whole[data],)
        return tuple(self.merge(data))

    def merge(self, data: bytes) -> list[int]:
        """Merge the bytes of one pretoken as far as the merges go."""
        parts = [self._byte_ids[byte] for byte in data]
        return self._merge_short(parts) if len(parts) < _SHORT else self._merge_long(parts)

    def _merge_short(self, parts: list[int]) -> list[int]:
        rank_of, stride, none = self._ranks.get, self._stride, self._none
        ranks = [rank_of(left * stride + right, none) for left, right in pairwise(parts)]
        while ranks:
            rank = min(ranks)
            if rank == none:
                break
            at = ranks.index(rank)
            parts[at] = product = self._products[rank]
            del parts[at + 1], ranks[at]
            if at < len(ranks):
                ranks[at] = rank_of(product * stride + parts[at + 1], none)
            if at:
                ranks[at - 1] = rank_of(parts[at - 1] * stride + product, none)
        return parts

    def _merge_long(self, parts: list[int]) -> list[int]:
        # A part lives at the position of its first byte; a position swallowed by the part before
        # it has id -1. ranks[i] is the rank of the part at i with its right neighbour.
        rank_of, stride, none = self._ranks.get, self._stride, self._none
        size = len(parts)
        right = list(range(1, size + 1))
        left = list(range(-1, size - 1))
        ranks = [rank_of(parts[i] * stride + parts[i + 1], none) for i in range(size - 1)]
        ranks.append(none)
        waiting = _positions_by_rank(ranks)
        waiting.pop(none, None)
        queue = list(waiting)
        heapify(queue)
        while queue:
            rank = heappop(queue)
            product = self._products[rank]
            # Leftmost first: a pair comes up when the younger of its parts is made, and all parts
            # of one kind are made in one go from left to right.
            positions = waiting.pop(rank)
            for done, at in enumerate(positions, start=1):
                if ranks[at] != rank:
                    continue  # a merge before has changed this pair
                swallowed = right[at]
                after = right[at] = right[swallowed]
                before = left[at]
                parts[at] = product
                parts[swallowed] = ranks[swallowed] = -1
                ranks[at] = none
                touched = none
                if after < size:
                    left[after] = at
                    touched = ranks[at] = rank_of(product * stride + parts[after], none)
                    if touched < none:
                        _wait(waiting, queue, touched, at)
                if before >= 0:
                    fresh = ranks[before] = rank_of(parts[before] * stride + product, none)
                    if fresh < none:
                        _wait(waiting, queue, fresh, before)
                        touched = min(touched, fresh)
                if touched < rank:
                    # Only merges that are listed before those of their parts get here: the new
                    # pair goes first, and the rest of this rank waits behind it.
                    waiting[rank] = positions[done:]
                    heappush(queue, rank)
                    break
        return [part for part in parts if part >= 0]


def _positions_by_rank(ranks: Iterable[int]) -> dict[int, list[int]]:
    positions: dict[int, list[int]] = {}
    for position, rank in enumerate(ranks):
        if rank in positions:
            positions[rank].append(position)
        else:
            positions[rank] = [position]
    return positions


def _wait(waiting: dict[int, list[int]], queue: list[int], rank: int, position: int) -> None:
    if rank in waiting:
        waiting[rank].append(position)
    else:
        waiting[rank] = [position]
        heappush(queue, rank)
