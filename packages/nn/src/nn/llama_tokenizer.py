"""The tokenizer's files in an exported model: tokenizer.json, and which token ends a text.

A directory that holds a tokenizer.json is copied. One that holds GPT-2's vocab.json and merges.txt,
with the special tokens and the pattern in special_tokens.json, is translated.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
MAP_FILE = "special_tokens_map.json"
_END_OF_TEXT = "<|endoftext|>"


class TokenizerFiles(NamedTuple):
    """The texts of the files by their names, and the id of the token that ends a text."""

    texts: dict[str, str]
    end_id: int | None


def read_tokenizer(directory: Path, *, vocab_size: int, context_length: int) -> TokenizerFiles:
    """Return the files that `AutoTokenizer` reads, for a model of these sizes.

    Raises ValueError with one line for a directory that holds no tokenizer, a file that is not what
    it says, and an id that the model does not have.
    """
    texts: dict[str, str] = {}
    try:
        if (directory / TOKENIZER_FILE).exists():
            for name in (TOKENIZER_FILE, CONFIG_FILE, MAP_FILE):
                if (directory / name).exists():
                    texts[name] = _read_text(directory / name)
            file = _parse(directory / TOKENIZER_FILE, texts[TOKENIZER_FILE])
        else:
            file = _translate(directory)
            texts[TOKENIZER_FILE] = json.dumps(file, ensure_ascii=False, indent=1) + "\n"
        specials = {token["content"]: token["id"] for token in file.get("added_tokens") or []}
        largest = max([*file["model"]["vocab"].values(), *specials.values()], default=-1)
        if largest >= vocab_size:
            raise ValueError(
                f"{directory} has the token id {largest}, which model.vocab_size={vocab_size} "
                "has no place for"
            )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{directory} holds no whole tokenizer: {error!r:.80}") from None
    if CONFIG_FILE in texts:
        end = _parse(directory / CONFIG_FILE, texts[CONFIG_FILE]).get("eos_token")
        end = end.get("content") if isinstance(end, dict) else end
    else:
        # Where there are several, the first one is what separates documents.
        end = _END_OF_TEXT if _END_OF_TEXT in specials else next(iter(specials), None)
        roles = {} if end is None else {"bos_token": end, "eos_token": end}
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": context_length,
            "clean_up_tokenization_spaces": False,
        }
        texts[CONFIG_FILE] = json.dumps(settings | roles, ensure_ascii=False, indent=2) + "\n"
        texts[MAP_FILE] = json.dumps(roles, ensure_ascii=False, indent=2) + "\n"
    return TokenizerFiles(texts, specials.get(end))


def _translate(directory: Path) -> dict[str, Any]:
    """Build the content of tokenizer.json from the three files of a GPT-2 tokenizer's directory."""
    places = [directory / name for name in ("vocab.json", "merges.txt", "special_tokens.json")]
    for place in places:
        if not place.exists():
            raise ValueError(
                f"{directory} holds no tokenizer: neither {TOKENIZER_FILE} nor {place.name}"
            )
    vocab_text, merges_text, rest_text = map(_read_text, places)
    vocab, rest = _parse(places[0], vocab_text), _parse(places[2], rest_text)
    specials = rest["special_tokens"]
    lines = [line.rstrip("\r") for line in merges_text.split("\n")]
    if lines[0].startswith("#version"):
        del lines[0]
    merges = [line for line in lines if line]
    # A special token stands in vocab.json spelled in GPT-2's letters, and here as its own text. It
    # keeps its spelled entry too if ordinary text can become it: one letter, or what a merge makes.
    made = {line.replace(" ", "", 1) for line in merges}
    special_ids = set(specials.values())
    entries = {
        spelled: token_id
        for spelled, token_id in vocab.items()
        if token_id not in special_ids or len(spelled) == 1 or spelled in made
    }
    taken = {token_id: spelled for spelled, token_id in entries.items()}
    for text, token_id in specials.items():
        if taken.get(token_id, text) != text or entries.setdefault(text, token_id) != token_id:
            raise ValueError(
                f"{directory}: special token {text!r} cannot be written to {TOKENIZER_FILE}: "
                "an ordinary token is spelled the same"
            )
    if rest.get("pattern") != "gpt2":
        raise ValueError(
            f"{directory}: only the pattern 'gpt2' is translated, not {rest.get('pattern')!r:.80}: "
            f"put a {TOKENIZER_FILE} there, which is copied"
        )
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": True,
    }
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token_id, "content": text, **flags, "normalized": False, "special": True}
            for text, token_id in sorted(specials.items(), key=lambda entry: entry[1])
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": rest.get("ignore_merges", False),
            "vocab": dict(sorted(entries.items(), key=lambda entry: entry[1])),
            "merges": merges,
        },
    }


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error.reason} at {error.start}") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a JSON object")
    return values
