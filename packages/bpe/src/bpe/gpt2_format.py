"""GPT-2's two files: `vocab.json` (token to id) and `merges.txt` (one merge a line, best first).

Tokens are spelled in the alphabet of `byte_alphabet`, special tokens too.
"""

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from bpe.byte_alphabet import parse_token, spell_token
from bpe.vocabulary import (
    Vocabulary,
    VocabularyError,
    check_special_texts,
    check_vocabulary,
)


def parse_vocab(text: str, place: str, specials: Iterable[str] = ()) -> dict[int, bytes]:
    """Parse vocab.json: an object of spelled token to id.

    A special token may also stand there as its own text. Errors name `place` and the line.
    """
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{place}: not JSON: {error}") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise VocabularyError(f"{place}: not an object of token to id")
    return tokens_by_id(pairs, place, specials, text)


def tokens_by_id(
    pairs: Iterable[tuple[str, object]], place: str, specials: Iterable[str], text: str
) -> dict[int, bytes]:
    """Turn (spelled token, id) pairs, as they stand in the JSON `text`, into id to bytes."""
    pairs = list(pairs)
    spelled_tokens = {spelled for spelled, _ in pairs}
    raw = {s for s in specials if spell_token(s.encode()) not in spelled_tokens}
    vocab: dict[int, bytes] = {}
    seen: set[bytes] = set()
    for spelled, token_id in pairs:
        problem = ""
        token = b""
        try:
            token = spelled.encode() if spelled in raw else parse_token(spelled)
        except ValueError as error:
            problem = str(error)
        if type(token_id) is not int or token_id < 0:
            problem = f"the id of {spelled!r} is {token_id!r:.40}"
        elif token_id in vocab:
            problem = f"{spelled!r} has id {token_id}, which {spell_token(vocab[token_id])!r} has"
        elif token in seen:
            problem = f"{spelled!r} stands there twice"
        if problem or type(token_id) is not int:
            line = line_of_token(text, spelled, last=True)
            raise VocabularyError(f"{place}{line}: {problem}")
        seen.add(token)
        vocab[token_id] = token
    return vocab


def line_of_token(text: str, spelled: str, *, last: bool = False) -> str:
    """Return ", line N" for the place of a token's key in JSON text, or "" if it is not found."""
    for ascii_only in (False, True):
        key = json.dumps(spelled, ensure_ascii=ascii_only)
        at = text.rfind(key) if last else text.find(key)
        if at >= 0:
            return f", line {1 + text.count(chr(10), 0, at)}"
    return ""


def parse_merges(text: str, place: str) -> list[tuple[bytes, bytes]]:
    """Parse merges.txt, whose first line may give a version; errors name `place` and the line."""
    merges = []
    for number, line in _merge_lines(text):
        sides = line.split(" ")
        if len(sides) != 2 or not all(sides):
            raise VocabularyError(
                f"{place}, line {number}: {line!r:.80} is not two tokens with one space between"
            )
        try:
            merges.append((parse_token(sides[0]), parse_token(sides[1])))
        except ValueError as error:
            raise VocabularyError(f"{place}, line {number}: {error}") from None
    return merges


def _merge_lines(text: str) -> list[tuple[int, str]]:
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), start=1)]
    return [
        (number, line)
        for number, line in lines
        if line and not (number == 1 and line.startswith("#version"))
    ]


def read_gpt2_files(
    vocab_path: str | PathLike[str],
    merges_path: str | PathLike[str],
    special_tokens: Iterable[str] | Mapping[str, int] | None = None,
    *,
    pattern: str = "gpt2",
    ignore_merges: bool = False,
) -> Vocabulary:
    """Read and check `vocab.json` and `merges.txt`.

    Raises VocabularyError with file, line and token for anything that does not match.
    """
    vocab_text, merges_text = read_text(vocab_path), read_text(merges_path)
    texts = check_special_texts(special_tokens)
    if not isinstance(special_tokens, Mapping):
        special_tokens = texts
    vocab = parse_vocab(vocab_text, str(vocab_path), texts)
    merges = parse_merges(merges_text, str(merges_path))
    try:
        return check_vocabulary(
            vocab, merges, special_tokens, pattern=pattern, ignore_merges=ignore_merges
        )
    except VocabularyError as error:
        if error.merge is not None:
            line = _merge_lines(merges_text)[error.merge][0]
            raise VocabularyError(f"{merges_path}, line {line}: {error}") from None
        spelled = spell_token(vocab.get(error.token_id or 0, b""))
        line_text = line_of_token(vocab_text, spelled) if error.token_id in vocab else ""
        raise VocabularyError(f"{vocab_path}{line_text}: {error}") from None


def read_text(path: str | PathLike[str]) -> str:
    """Read a whole UTF-8 file, line ends as they are. Raises VocabularyError if it is not UTF-8."""
    data = Path(path).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise VocabularyError(
            f"{path}: invalid byte 0x{data[error.start]:02x} at offset {error.start:,}"
        ) from None


def format_vocab(vocabulary: Vocabulary) -> str:
    """Write vocab.json, a token a line in order of ids.

    A special token whose bytes are an ordinary token's as well, with another id, has no key left
    and is left out: `special_tokens.json` holds its id.
    """
    hidden = hidden_specials(vocabulary)
    lines = [
        f"{json.dumps(spell_token(token), ensure_ascii=False)}: {token_id}"
        for token_id, token in sorted(vocabulary.tokens.items())
        if token_id not in hidden
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def hidden_specials(vocabulary: Vocabulary) -> dict[int, str]:
    """Return the special tokens whose bytes also belong to an ordinary token of another id."""
    special = frozenset(vocabulary.special_tokens.values())
    ordinary = {token for i, token in vocabulary.tokens.items() if i not in special}
    return {
        token_id: text
        for text, token_id in vocabulary.special_tokens.items()
        if text.encode() in ordinary
    }


def format_merges(vocabulary: Vocabulary) -> str:
    """Write merges.txt."""
    lines = [f"{spell_token(left)} {spell_token(right)}" for left, right in vocabulary.merges]
    return "\n".join(["#version: 0.2", *lines, ""])
