"""Hugging Face's `tokenizer.json`: byte-level BPE files are read and written.

What such a file can say and this package cannot do (normalizers, dropout, byte fallback, unknown
tokens, several splits in a row, other pre-tokenizers, ...) is refused by name, never ignored. The
post-processor is not read: it adds tokens round the text, so ids equal
`encode(text, add_special_tokens=False)`.
"""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from bpe.atomic_file import write_atomically
from bpe.byte_alphabet import parse_token, spell_token
from bpe.gpt2_format import line_of_token, read_text, tokens_by_id
from bpe.patterns import PATTERNS, named_pattern
from bpe.vocabulary import Vocabulary, VocabularyError, check_vocabulary


def read_huggingface_file(path: str | PathLike[str]) -> Vocabulary:
    """Read and check a tokenizer.json, or the one in the directory `path`.

    Every added token becomes a special token. Raises VocabularyError with the file and the feature
    that cannot be expressed, or with what does not match.
    """
    place = Path(path)
    if place.is_dir():
        place = place / "tokenizer.json"
    text = read_text(place)
    try:
        file = json.loads(text, object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{place}: {error}") from None
    try:
        model = file["model"]
        if not isinstance(model["vocab"], dict) or not isinstance(model["merges"], list):
            raise VocabularyError("model.vocab is not an object, or model.merges not a list")
        _refuse_features(file, model)
        pattern = _read_pattern(file["pre_tokenizer"])
        specials = _read_added_tokens(file.get("added_tokens") or [])
        raw = _raw_specials(model["vocab"], specials)
        merges = [_read_merge(merge) for merge in model["merges"]]
    except VocabularyError as error:
        raise VocabularyError(f"{place}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise VocabularyError(f"{place}: not a whole tokenizer.json: {error!r:.120}") from None
    vocab = tokens_by_id(model["vocab"].items(), str(place), raw, text)
    try:
        return check_vocabulary(
            vocab,
            merges,
            specials,
            pattern=pattern,
            ignore_merges=bool(model.get("ignore_merges")),
        )
    except VocabularyError as error:
        spelled = spell_token(vocab.get(-1 if error.token_id is None else error.token_id, b""))
        line = line_of_token(text, spelled) if spelled else ""
        raise VocabularyError(f"{place}{line}: {error}") from None


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object; a plain dictionary would silently keep the last of equal keys."""
    whole = dict(pairs)
    if len(whole) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for at, key in enumerate(keys) if key in keys[:at])
        raise ValueError(f"{twice!r:.80} stands there twice")
    return whole


def _refuse_features(file: dict[str, Any], model: dict[str, Any]) -> None:
    """Raise VocabularyError for anything that would change ids and cannot be expressed."""
    kind = model.get("type", "BPE")
    if kind != "BPE":
        raise VocabularyError(f"model.type is {kind!r:.40}; only byte-level BPE can be read")
    for owner, settings in (("", file), ("model.", model)):
        for name in _REFUSED[owner]:
            value = settings.get(name)
            # 0, "" and false say the same as null, and so does a row of no normalizers.
            if value and value != {"type": "Sequence", "normalizers": []}:
                raise VocabularyError(
                    f"{owner}{name} is {json.dumps(value):.80}, which cannot be expressed"
                )
    decoder = file.get("decoder")
    if decoder is not None and decoder.get("type") != "ByteLevel":
        raise VocabularyError(f"decoder {decoder.get('type')!r} cannot be expressed")


_REFUSED = {
    "": ("normalizer", "truncation", "padding"),
    "model.": (
        "dropout",
        "unk_token",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "byte_fallback",
    ),
}


def _read_pattern(pre_tokenizer: dict[str, Any] | None) -> str:
    """Return the pattern that cuts text as the pre-tokenizer does."""
    if pre_tokenizer is None:
        raise VocabularyError("pre_tokenizer is null: not a byte-level file")
    steps = (
        pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    )
    kinds = [step["type"] for step in steps]
    if kinds[-1:] == ["ByteLevel"] and steps[-1].get("add_prefix_space", True):
        raise VocabularyError("pre_tokenizer ByteLevel with add_prefix_space cannot be expressed")
    own_pattern = kinds[-1:] == ["ByteLevel"] and steps[-1].get("use_regex", True)
    if kinds == ["ByteLevel"] and own_pattern:
        return "gpt2"
    if kinds == ["Split", "ByteLevel"] and not own_pattern:
        split = steps[0]
        expression = split["pattern"].get("Regex")
        if not isinstance(expression, str):
            raise VocabularyError("pre_tokenizer Split without a Regex cannot be expressed")
        pattern = named_pattern(expression)
        keeps_matches = (split["behavior"], bool(split.get("invert"))) == ("Isolated", False)
        # What lies between matches would be dropped; the named patterns leave nothing between.
        drops_gaps = (split["behavior"], bool(split.get("invert"))) == ("Removed", True)
        named = pattern in PATTERNS
        if keeps_matches or (drops_gaps and named):
            return pattern
        kinds[0] = f"Split with behavior {split['behavior']!r:.40}"
    raise VocabularyError(f"pre_tokenizer {' + '.join(kinds):.120} cannot be expressed")


def _read_added_tokens(added: list[dict[str, Any]]) -> dict[str, int]:
    """Return the added tokens as special tokens, in order of ids."""
    specials: dict[str, int] = {}
    passes: tuple[list[str], list[str]] = ([], [])
    for token in sorted(added, key=lambda token: int(token["id"])):
        content, token_id = token["content"], token["id"]
        if not isinstance(content, str) or type(token_id) is not int:
            raise VocabularyError(f"added token {content!r:.40} has id {token_id!r:.40}")
        for name in ("lstrip", "rstrip", "single_word"):
            if token.get(name):
                raise VocabularyError(f"added token {content!r} has {name}, not expressible")
        if content in specials:
            raise VocabularyError(f"added token {content!r} stands there twice")
        specials[content] = token_id
        passes[bool(token.get("normalized"))].append(content)
    for later in passes[1]:
        for first in passes[0]:
            # The two kinds are searched one after the other, and here all at once: that is the
            # same unless one of the second kind could start before one of the first and reach it.
            if any(first.startswith(later[at : at + len(first)]) for at in range(1, len(later))):
                raise VocabularyError(
                    f"added tokens {first!r} and {later!r} overlap, and only one is normalized, "
                    "which cannot be expressed"
                )
    return specials


def _raw_specials(vocab: dict[str, Any], specials: dict[str, int]) -> set[str]:
    """Return the special tokens that stand in the vocabulary, as they do, unspelled."""
    for content, token_id in specials.items():
        found = vocab.get(content, token_id)
        if found != token_id:
            raise VocabularyError(
                f"added token {content!r} has id {token_id}, but id {found!r:.40} in model.vocab"
            )
    return {content for content in specials if content in vocab}


def _read_merge(merge: str | Sequence[str]) -> tuple[bytes, bytes]:
    """Read one merge: a pair, or in older files two tokens with a space between."""
    sides = merge.split(" ") if isinstance(merge, str) else merge
    if len(sides) != 2:
        raise VocabularyError(f"merge {merge!r:.80} is not two tokens")
    return parse_token(sides[0]), parse_token(sides[1])


def format_huggingface(vocabulary: Vocabulary) -> str:
    """Write a tokenizer.json. Raises ValueError for what that library cannot express.

    That is a special token which is an ordinary token as well: its vocabulary has one id a text.
    """
    special_ids = frozenset(vocabulary.special_tokens.values())
    ordinary = vocabulary.ordinary_ids()
    entries = {
        spell_token(token): token_id
        for token_id, token in vocabulary.tokens.items()
        if token_id not in special_ids or ordinary.get(token) == token_id
    }
    for text, token_id in vocabulary.special_tokens.items():
        if entries.setdefault(text, token_id) != token_id or (
            ordinary.get(text.encode()) == token_id and spell_token(text.encode()) != text
        ):
            raise ValueError(
                f"special token {text!r} cannot be written to tokenizer.json: "
                "an ordinary token is spelled the same"
            )
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    pre_tokenizer: dict[str, Any] = byte_level | {"use_regex": True}
    if vocabulary.pattern != "gpt2":
        split = {
            "type": "Split",
            "pattern": {"Regex": PATTERNS.get(vocabulary.pattern, vocabulary.pattern)},
            "behavior": "Isolated",
            "invert": False,
        }
        pre_tokenizer = {
            "type": "Sequence",
            "pretokenizers": [split, byte_level | {"use_regex": False}],
        }
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    file = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token_id, "content": text, **flags, "normalized": False, "special": True}
            for text, token_id in sorted(
                vocabulary.special_tokens.items(), key=lambda entry: entry[1]
            )
        ],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": byte_level | {"use_regex": True},
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": vocabulary.ignore_merges,
            "vocab": dict(sorted(entries.items(), key=lambda entry: entry[1])),
            # Strings, not pairs: releases of the library before 0.20 read nothing else.
            "merges": [f"{spell_token(a)} {spell_token(b)}" for a, b in vocabulary.merges],
        },
    }
    return json.dumps(file, ensure_ascii=False, indent=1) + "\n"


def write_huggingface_file(vocabulary: Vocabulary, path: str | PathLike[str]) -> None:
    """Write a tokenizer.json at `path`, whole or not at all."""
    write_atomically(Path(path), format_huggingface(vocabulary).encode())
