"""Learn merges from counted pretokens, without ever going over all of them again.

    words         one str per distinct pretoken; the character chr(i) stands for the token with
                  internal number i, so that merging a pair is one split and one join
    pair_counts   how often each pair of adjacent tokens occurs, kept up to date by every merge
    words_of      for each pair, the words that held it when it arose; some may not any more
    heap          one entry for each pair; its count may be out of date, never too small

A merge changes only words that hold its pair. The pairs that it makes all hold the new token, so
the count of an older pair can only fall: an entry that is out of date is put back when it comes up
(a lazy heap), and every pair is pushed once. Internal numbers: the 256 bytes, then the merges.
The work of a merge is the total length of the distinct words that hold its pair.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Literal

TieBreak = Literal["bytes", "huggingface"]

# The internal numbers are code points.
MAX_VOCAB_SIZE = 0x10FFFF


def learn_merges(
    counts: Mapping[str, int],
    num_merges: int,
    *,
    tie_break: TieBreak = "bytes",
    on_merge: Callable[[bytes], None] | None = None,
) -> list[tuple[bytes, bytes]]:
    """Merge the most frequent pair of adjacent tokens `num_merges` times; return the pairs.

    `counts` tells how often each pretoken occurs. Of pairs with equal counts the lexicographically
    greater pair of byte strings is taken, or with `tie_break="huggingface"` the smaller pair of
    ids, as the tokenizers library numbers them. The result is shorter when no pair is left.
    `on_merge` is called with each new token.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    ranks: list[str | int] = (
        [*huggingface_ranks()] if tie_break == "huggingface" else [*map(_bytes_rank, tokens)]
    )

    words: list[str] = []
    frequencies: list[int] = []
    for pretoken, frequency in counts.items():
        word = pretoken.encode().decode("latin-1")
        if len(word) > 1:
            words.append(word)
            frequencies.append(frequency)
    pair_counts, words_of = _count_pairs(words, frequencies)

    def entry(pair: str, count: int) -> tuple[int, str | int, str | int, str]:
        return -count, ranks[ord(pair[0])], ranks[ord(pair[1])], pair

    heap = [entry(pair, count) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[bytes, bytes]] = []
    while heap and len(merges) < num_merges:
        negative_count, _, _, pair = heapq.heappop(heap)
        count = pair_counts[pair]
        if count != -negative_count:
            if count:
                heapq.heappush(heap, entry(pair, count))
            else:
                del pair_counts[pair], words_of[pair]
            continue
        left, right = tokens[ord(pair[0])], tokens[ord(pair[1])]
        merges.append((left, right))
        tokens.append(left + right)
        ranks.append(len(ranks) if tie_break == "huggingface" else _bytes_rank(tokens[-1]))

        new_token = chr(len(tokens) - 1)
        new_counts = _merge_pair(pair, new_token, words, frequencies, pair_counts, words_of)
        for new_pair, count in new_counts.items():
            heapq.heappush(heap, entry(new_pair, count))
        if on_merge is not None:
            on_merge(tokens[-1])
    return merges


def _count_pairs(
    words: list[str], frequencies: list[int]
) -> tuple[dict[str, int], dict[str, list[int]]]:
    pair_counts: defaultdict[str, int] = defaultdict(int)
    words_of: defaultdict[str, list[int]] = defaultdict(list)
    for index, (word, frequency) in enumerate(zip(words, frequencies, strict=True)):
        for position in range(len(word) - 1):
            pair = word[position : position + 2]
            pair_counts[pair] += frequency
            holders = words_of[pair]
            if not holders or holders[-1] != index:
                holders.append(index)
    return dict(pair_counts), dict(words_of)


def _merge_pair(
    pair: str,
    new_token: str,
    words: list[str],
    frequencies: list[int],
    pair_counts: dict[str, int],
    words_of: dict[str, list[int]],
) -> dict[str, int]:
    """Replace `pair` by `new_token` in all words; return the counts of the pairs that it makes."""
    first, second = pair[0], pair[1]
    new_counts: defaultdict[str, int] = defaultdict(int)
    new_words_of: defaultdict[str, list[int]] = defaultdict(list)
    for index in words_of[pair]:
        # From left to right, and without overlaps: "aaa" holds "aa" once.
        pieces = words[index].split(pair)
        if len(pieces) == 1:
            continue
        words[index] = new_token.join(pieces)
        frequency = frequencies[index]
        made: list[str] = []
        before = pieces[0]
        for position, after in enumerate(pieces[1:]):
            if before:
                pair_counts[before[-1] + first] -= frequency
                made.append(before[-1] + new_token)
            elif position:
                # Two occurrences side by side.
                pair_counts[second + first] -= frequency
                made.append(new_token + new_token)
            if after:
                pair_counts[second + after[0]] -= frequency
                made.append(new_token + after[0])
            before = after
        for new_pair in made:
            new_counts[new_pair] += frequency
            holders = new_words_of[new_pair]
            # Each word once: going back to a long one for every pair in it would be quadratic.
            if not holders or holders[-1] != index:
                holders.append(index)
    # Only now: a pair of two equal tokens can be its own neighbour.
    del pair_counts[pair], words_of[pair]
    pair_counts.update(new_counts)
    words_of.update(new_words_of)
    return new_counts


def _bytes_rank(token: bytes) -> str:
    # Ascending order of ranks is descending order of tokens. The end mark makes a token come
    # before its own prefixes.
    return "".join(chr(255 - byte) for byte in token) + "\u0100"


def huggingface_ranks() -> list[int]:
    """Return the ranks of the 256 bytes in the tokenizers library, whose ids follow them.

    It numbers the bytes by the printable characters that stand for them in GPT-2's files: those
    that are printable as they are come first, in order, then the others.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    order = [*printable, *others]
    return [order.index(byte) for byte in range(256)]
