"""What decides the ids of a text: vocabulary, merges, special tokens, pattern; checked once, here.

The rules: every byte has a token; every merge joins two tokens into a third; no token has two
ids; ids run from 0 without a gap up to the last token that is not special. Beyond that only
special tokens live, and ids may be left out, as in tiktoken's `cl100k_base`.
"""

import hashlib
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bpe.patterns import compile_pattern, named_pattern
from bpe.specials import check_specials


class VocabularyError(ValueError):
    """A vocabulary or its merges break a rule.

    `token_id` or `merge` (a position in the merges) is the place, where there is one, so that the
    reader of a file can name the line.
    """

    def __init__(
        self, message: str, *, token_id: int | None = None, merge: int | None = None
    ) -> None:
        super().__init__(message)
        self.token_id = token_id
        self.merge = merge


@dataclass(frozen=True)
class Vocabulary:
    """A checked vocabulary. Built by `check_vocabulary`; treat every field as read-only.

    `tokens` holds the special tokens too. `special_tokens` is in the order given. `pattern` is a
    name where it has one. With `ignore_merges` a pretoken that is a token gets its id at once.
    """

    tokens: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]
    special_tokens: dict[str, int]
    pattern: str
    ignore_merges: bool

    @property
    def size(self) -> int:
        """One more than the largest id: the number of rows that an embedding needs."""
        return 1 + max(self.tokens)

    def ordinary_ids(self) -> dict[bytes, int]:
        """Map the tokens that ordinary text can become to their ids."""
        ids = ids_of(self.tokens, self.special_tokens.values())
        made = {left + right for left, right in self.merges}
        for text, token_id in self.special_tokens.items():
            token = text.encode()
            # A special token may be an ordinary one as well: a byte, or what a merge makes.
            if ids[token] == token_id and len(token) > 1 and token not in made:
                del ids[token]
        return ids

    def sha256(self) -> str:
        """Hash everything that decides ids; equal for equal tokenizers, in hexadecimal."""
        digest = hashlib.sha256(b"bpe vocabulary 1\n")

        def add(*fields: bytes) -> None:
            for field in fields:
                digest.update(b"%d:" % len(field))
                digest.update(field)

        for token_id in sorted(self.tokens):
            add(b"token", b"%d" % token_id, self.tokens[token_id])
        for left, right in self.merges:
            add(b"merge", left, right)
        for text, token_id in sorted(self.special_tokens.items()):
            add(b"special", text.encode(), b"%d" % token_id)
        add(b"pattern", self.pattern.encode(), b"ignore" if self.ignore_merges else b"apply")
        return digest.hexdigest()


def check_vocabulary(
    vocab: Mapping[int, bytes],
    merges: Iterable[tuple[bytes, bytes]],
    special_tokens: Iterable[str] | Mapping[str, int] | None = None,
    *,
    pattern: str = "gpt2",
    ignore_merges: bool = False,
) -> Vocabulary:
    """Copy and check everything that makes a tokenizer.

    Special tokens are looked up in `vocab`; those that it lacks are appended after its largest id,
    in order. A mapping gives their ids itself. Where `vocab` holds the bytes of a special token
    twice, the smaller id is the special one. Raises VocabularyError for a broken rule, and
    ValueError for a bad pattern or special token.
    """
    if not isinstance(vocab, Mapping):
        raise VocabularyError(f"vocab is a {type(vocab).__name__}, not a mapping of id to bytes")
    compile_pattern(pattern)
    tokens = _checked_tokens(vocab)
    specials = _place_specials(tokens, special_tokens)
    ids = ids_of(tokens, specials.values())
    for byte in range(256):
        if bytes((byte,)) not in ids:
            raise VocabularyError(f"vocab has no token for byte 0x{byte:02x}")
    checked = _checked_merges(merges, ids)
    _check_gaps(tokens, frozenset(specials.values()))
    return Vocabulary(tokens, checked, specials, named_pattern(pattern), ignore_merges)


def check_special_texts(special_tokens: Iterable[str] | None) -> list[str]:
    """Return the special tokens as a list of different, encodable, non-empty strings.

    Raises ValueError where they are not that.
    """
    if isinstance(special_tokens, str):
        raise ValueError(
            f"special tokens are a list of strings; wrap the one: [{special_tokens!r}]"
        )
    texts = [] if special_tokens is None else list(special_tokens)
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"special token {text!r} is a {type(text).__name__}, not a string")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"special token {text!r} has a lone surrogate") from None
    check_specials(texts)
    return texts


def ids_of(tokens: Mapping[int, bytes], special_ids: Iterable[int]) -> dict[bytes, int]:
    """Invert `tokens`. Where a special and an ordinary token have the same bytes, the latter wins.

    Raises VocabularyError for a token that has two ids.
    """
    special = frozenset(special_ids)
    ids: dict[bytes, int] = {}
    for token_id, token in tokens.items():
        other = ids.setdefault(token, token_id)
        if other == token_id:
            continue
        if other in special and token_id not in special:
            ids[token] = token_id
        elif token_id not in special:
            raise VocabularyError(
                f"vocab ids {min(other, token_id)} and {max(other, token_id)} are the same token "
                f"{token!r}",
                token_id=token_id,
            )
    return ids


def _checked_tokens(vocab: Mapping[int, bytes]) -> dict[int, bytes]:
    tokens: dict[int, bytes] = {}
    for key, token in vocab.items():
        try:
            token_id = operator.index(key)
        except TypeError:
            raise VocabularyError(f"vocab id {key!r} is not an integer") from None
        if not 0 <= token_id < 1 << 32:
            raise VocabularyError(f"vocab id {token_id} is not in 0..2**32 - 1", token_id=token_id)
        if not isinstance(token, bytes) or not token:
            raise VocabularyError(
                f"vocab id {token_id} is {token!r}, not a token of one or more bytes",
                token_id=token_id,
            )
        tokens[token_id] = token
    return tokens


def _place_specials(
    tokens: dict[int, bytes], special_tokens: Iterable[str] | Mapping[str, int] | None
) -> dict[str, int]:
    """Return the id of each special token, and add those that `tokens` lacks."""
    texts = check_special_texts(special_tokens)
    placed: dict[str, int] = {}
    if isinstance(special_tokens, Mapping):
        for text in texts:
            token_id = operator.index(special_tokens[text])
            if not 0 <= token_id < 1 << 32:
                raise VocabularyError(f"special token {text!r} has id {token_id}, not 0..2**32 - 1")
            present = tokens.setdefault(token_id, text.encode())
            if present != text.encode():
                raise VocabularyError(
                    f"special token {text!r} cannot have id {token_id}, which is {present!r}",
                    token_id=token_id,
                )
            placed[text] = token_id
        return placed
    wanted = {text.encode() for text in texts}
    found: dict[bytes, int] = {}
    for token_id, token in tokens.items():
        if token in wanted:
            found[token] = min(token_id, found.get(token, token_id))
    for text in texts:
        token = text.encode()
        if token not in found:
            found[token] = 1 + max(tokens, default=-1)
            tokens[found[token]] = token
        placed[text] = found[token]
    return placed


def _checked_merges(
    merges: Iterable[tuple[bytes, bytes]], ids: Mapping[bytes, int]
) -> list[tuple[bytes, bytes]]:
    checked: list[tuple[bytes, bytes]] = []
    seen: dict[tuple[bytes, bytes], int] = {}
    for position, merge in enumerate(merges):
        try:
            left, right = merge
            known = left in ids and right in ids and left + right in ids
        except (TypeError, ValueError):
            raise VocabularyError(
                f"merge {position} is {merge!r}, not a pair of byte strings", merge=position
            ) from None
        if not known:
            missing = next(token for token in (left, right, left + right) if token not in ids)
            raise VocabularyError(
                f"merge {position} of {left!r} and {right!r} needs the token {missing!r}, "
                "which is not in the vocab",
                merge=position,
            )
        pair = (left, right)
        first = seen.setdefault(pair, position)
        if first != position:
            raise VocabularyError(
                f"merge {position} of {left!r} and {right!r} repeats merge {first}", merge=position
            )
        checked.append(pair)
    return checked


def _check_gaps(tokens: Mapping[int, bytes], special_ids: frozenset[int]) -> None:
    last = max(token_id for token_id in tokens if token_id not in special_ids)
    if sum(token_id <= last for token_id in tokens) == last + 1:
        return
    gap = next(token_id for token_id in range(last) if token_id not in tokens)
    raise VocabularyError(f"vocab has no id {gap}, though its ids run to {last}", token_id=gap)
