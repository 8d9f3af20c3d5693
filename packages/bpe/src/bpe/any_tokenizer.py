"""Load a tokenizer of any kind that the package reads, by its path or by its name in tiktoken."""

import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

from bpe.patterns import PATTERNS
from bpe.tiktoken_format import recover_merges
from bpe.tokenizer import Tokenizer
from bpe.vocabulary import VocabularyError

# How the names of rank files begin, and the pattern of each.
_NAMES = {**{name: name for name in PATTERNS}, "r50k": "gpt2", "p50k": "gpt2"}


def load_any_tokenizer(source: str, *, like: Tokenizer | None = None) -> Tokenizer:
    """Read what `source` stands for.

    That is a directory of this package's, of Hugging Face's or of GPT-2's files, a tokenizer.json,
    a rank file of tiktoken, or the name of an encoding or model that tiktoken knows. A rank file
    says nothing of its special tokens and its pattern: those of `like` are taken, and the pattern
    of the file's name if it begins with one; where neither tells it, the logger `bpe` warns. Raises
    ValueError for anything else, and what the readers of the formats raise.
    """
    path = Path(source)
    if path.is_dir():
        if (path / "special_tokens.json").exists():
            return Tokenizer.load(path)
        if (path / "tokenizer.json").exists():
            return Tokenizer.from_huggingface(path)
        if (path / "vocab.json").exists():
            return Tokenizer.from_files(path / "vocab.json", path / "merges.txt")
        raise ValueError(f"{source}: holds no tokenizer that can be read")
    if path.exists():
        if path.suffix == ".json":
            return Tokenizer.from_huggingface(path)
        return _from_rank_file(path, like)
    return _from_tiktoken_name(source)


def _from_rank_file(path: Path, like: Tokenizer | None) -> Tokenizer:
    named = next((name for name in _NAMES if path.name.startswith(name)), None)
    pattern = _NAMES[named] if named else like.pattern if like else "gpt2"
    specials = like.special_tokens if like else {}
    try:
        tokenizer = Tokenizer.from_tiktoken(path, specials, pattern=pattern)
    except VocabularyError:
        # Their ids are taken there: they get others.
        tokenizer = Tokenizer.from_tiktoken(path, [*specials], pattern=pattern)
    if named is None and like is None:
        logging.getLogger("bpe").warning(
            "%s: a rank file names no pattern; gpt2 is taken (`bpe convert --pattern` sets it)",
            path,
        )
    return tokenizer


def _from_tiktoken_name(name: str) -> Tokenizer:
    if importlib.util.find_spec("tiktoken") is None:
        raise ValueError(
            f"{name}: no such file; `bpe train FILES... --out DIR` makes a tokenizer, and for "
            "names of tiktoken's: pip install tiktoken"
        )
    tiktoken: Any = importlib.import_module("tiktoken")
    names = tiktoken.list_encoding_names()
    try:
        get = tiktoken.get_encoding if name in names else tiktoken.encoding_for_model
        encoding = get(name)
    except KeyError:
        raise ValueError(
            f"{name}: neither a file nor a name that tiktoken knows, such as {', '.join(names)}; "
            "`bpe train FILES... --out DIR` makes a tokenizer"
        ) from None
    except OSError as error:
        raise ValueError(f"{name}: tiktoken cannot fetch it: {error!r:.120}") from None
    ranks: dict[bytes, int] = encoding._mergeable_ranks
    merges, unreachable = recover_merges(ranks)
    return Tokenizer(
        {rank: token for token, rank in ranks.items()},
        merges,
        encoding._special_tokens,
        pattern=encoding._pat_str,
        ignore_merges=bool(unreachable),
    )
