"""The directory of one tokenizer: GPT-2's two files, and `special_tokens.json` with all the rest.

The third file holds the special tokens with their ids in the order given, the pattern, and a hash
over everything, so that files of two tokenizers are never taken for one.
"""

import json
from os import PathLike
from pathlib import Path

from bpe.atomic_file import write_atomically
from bpe.gpt2_format import format_merges, format_vocab, read_gpt2_files, read_text
from bpe.vocabulary import Vocabulary, VocabularyError

_FILES = ("vocab.json", "merges.txt", "special_tokens.json")


def save_directory(vocabulary: Vocabulary, directory: str | PathLike[str]) -> None:
    """Write vocab.json, merges.txt and special_tokens.json, each whole or not at all."""
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    rest = {
        "format": 1,
        "special_tokens": vocabulary.special_tokens,
        "pattern": vocabulary.pattern,
        "ignore_merges": vocabulary.ignore_merges,
        "sha256": vocabulary.sha256(),
    }
    texts = (
        format_vocab(vocabulary),
        format_merges(vocabulary),
        json.dumps(rest, ensure_ascii=False, indent=1) + "\n",
    )
    for name, text in zip(_FILES, texts, strict=True):
        write_atomically(place / name, text.encode())


def check_holds_none(directory: Path) -> None:
    """Raise ValueError if a directory holds a tokenizer, or files that could be of one."""
    found = [name for name in _FILES if (directory / name).exists()]
    if found:
        raise ValueError(
            f"{directory}: holds a tokenizer ({', '.join(found)}); --overwrite replaces it, "
            "another --out keeps it"
        )


def load_directory(directory: str | PathLike[str]) -> Vocabulary:
    """Read what `save_directory` wrote, and check that the three files belong together."""
    vocab_path, merges_path, rest_path = (Path(directory) / name for name in _FILES)
    if not rest_path.exists():
        raise VocabularyError(
            f"{directory}: holds no {rest_path.name}; for GPT-2's two files alone use "
            "Tokenizer.from_files, for a Hugging Face tokenizer.json Tokenizer.from_huggingface"
        )
    try:
        rest = json.loads(read_text(rest_path))
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{rest_path}: {error}") from None
    kinds = {
        "format": int,
        "special_tokens": dict,
        "pattern": str,
        "ignore_merges": bool,
        "sha256": str,
    }
    if not isinstance(rest, dict) or set(rest) != set(kinds):
        raise VocabularyError(f"{rest_path}: the fields are not {', '.join(kinds)}")
    for name, kind in kinds.items():
        if type(rest[name]) is not kind:
            raise VocabularyError(f"{rest_path}: {name} is {rest[name]!r:.80}")
    if rest["format"] != 1:
        raise VocabularyError(f"{rest_path}: format is {rest['format']}; this version reads 1")
    for text, token_id in rest["special_tokens"].items():
        if type(token_id) is not int:
            raise VocabularyError(f"{rest_path}: the id of {text!r} is {token_id!r:.40}")
    vocabulary = read_gpt2_files(
        vocab_path,
        merges_path,
        rest["special_tokens"],
        pattern=rest["pattern"],
        ignore_merges=rest["ignore_merges"],
    )
    if vocabulary.sha256() != rest["sha256"]:
        raise VocabularyError(
            f"{directory}: {', '.join(_FILES)} do not belong together: their hash is "
            f"{vocabulary.sha256():.12}, but {rest_path.name} says {rest['sha256']:.12}"
        )
    return vocabulary
