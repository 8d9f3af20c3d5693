"""tiktoken's rank files: one token a line, as base64, with its rank, which is also its id.

Such a file holds neither merges nor special tokens nor the pattern. The merges are recovered: the
pair that makes a token is what tiktoken's own merging leaves of the token's bytes just before the
last step. No other two parts of that token ever meet in any text: as long as nothing is joined
across its borders, what happens within the token does not depend on what stands round it.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from itertools import pairwise, zip_longest
from os import PathLike
from pathlib import Path

from bpe.atomic_file import write_atomically
from bpe.gpt2_format import read_text
from bpe.vocabulary import Vocabulary, VocabularyError, check_vocabulary


def read_tiktoken_file(
    path: str | PathLike[str],
    special_tokens: Iterable[str] | Mapping[str, int] | None = None,
    *,
    pattern: str,
) -> Vocabulary:
    """Read and check a rank file. Raises VocabularyError with file, line and what does not match.

    Special tokens get the ids of the mapping, or the next free ones in order.
    """
    lines: dict[int, int] = {}
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        place = f"{path}, line {number}"
        try:
            encoded, rank_text = fields
            token = base64.b64decode(encoded, validate=True)
            rank = int(rank_text) if rank_text.isdigit() else -1
        except (ValueError, binascii.Error):
            raise VocabularyError(
                f"{place}: {line!r:.80} is not a base64 token and its rank"
            ) from None
        if rank < 0 or rank in lines:
            raise VocabularyError(
                f"{place}: rank {rank_text} is not a number, or stands there twice"
            )
        if not token or token in ranks:
            raise VocabularyError(f"{place}: token {token!r:.80} is empty or stands there twice")
        lines[rank] = number
        ranks[token] = rank
    merges, unreachable = recover_merges(ranks)
    vocab = {rank: token for token, rank in ranks.items()}
    try:
        return check_vocabulary(
            vocab, merges, special_tokens, pattern=pattern, ignore_merges=bool(unreachable)
        )
    except VocabularyError as error:
        line = f", line {lines[error.token_id]}" if error.token_id in lines else ""
        gap = None if error.token_id in vocab else error.token_id
        hint = f"; `bpe convert --special-token TEXT={gap}` gives it to a special token"
        raise VocabularyError(f"{path}{line}: {error}{'' if gap is None else hint}") from None


def recover_merges(
    ranks: Mapping[bytes, int],
) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Return the merges that ranks stand for, in order, and the tokens that no merge makes.

    tiktoken finds the latter only as whole pretokens, which it looks up before it merges anything.
    """
    merges: list[tuple[bytes, bytes]] = []
    unreachable: list[bytes] = []
    none = 1 + max(ranks.values(), default=0)
    for token in sorted(ranks, key=ranks.__getitem__):
        if len(token) > 1:
            parts = _parts_before_last(token, ranks, none)
            if len(parts) == 2:
                merges.append((parts[0], parts[1]))
            else:
                unreachable.append(token)
    return merges, unreachable


def _parts_before_last(token: bytes, ranks: Mapping[bytes, int], none: int) -> list[bytes]:
    """Merge the bytes of a token by ranks until two parts are left, or nothing joins any more."""
    parts = [token[at : at + 1] for at in range(len(token))]
    pairs = [ranks.get(left + right, none) for left, right in pairwise(parts)]
    while len(parts) > 2:
        rank = min(pairs)
        if rank == none:
            break
        at = pairs.index(rank)
        parts[at] += parts[at + 1]
        del parts[at + 1], pairs[at]
        if at < len(pairs):
            pairs[at] = ranks.get(parts[at] + parts[at + 1], none)
        if at:
            pairs[at - 1] = ranks.get(parts[at - 1] + parts[at], none)
    return parts


def format_tiktoken(vocabulary: Vocabulary) -> str:
    """Write a rank file; special tokens are not part of one.

    Raises ValueError when ranks cannot say what the merges say: when ids do not grow in the order
    of the merges, or a token is neither a byte nor made by a merge.
    """
    ranks = vocabulary.ordinary_ids()
    recovered, unreachable = recover_merges(ranks)
    if unreachable and not vocabulary.ignore_merges:
        token = unreachable[0]
        raise ValueError(
            f"cannot write ranks: token {ranks[token]}, {token!r}, is neither a byte nor made by "
            "a merge; name it in special_tokens"
        )
    # Files converted from ranks list every way to each token. Those that are never used may stand
    # anywhere; the others must be in the order of the ranks.
    usable = frozenset(recovered)
    used = [merge for merge in vocabulary.merges if merge in usable]
    if used != recovered:
        pairs = zip_longest(used, recovered)
        left, right = next(theirs or own for own, theirs in pairs if own != theirs)
        raise ValueError(
            f"cannot write ranks: going by ids, {left!r} and {right!r} would be merged "
            "out of their turn"
        )
    lines = [
        f"{base64.b64encode(token).decode()} {rank}"
        for token, rank in sorted(ranks.items(), key=lambda entry: entry[1])
    ]
    return "\n".join([*lines, ""])


def write_tiktoken_file(vocabulary: Vocabulary, path: str | PathLike[str]) -> None:
    """Write a rank file at `path`, whole or not at all."""
    write_atomically(Path(path), format_tiktoken(vocabulary).encode())
