"""`bpe convert`: move a tokenizer from one file format to another; the ids stay the same."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from bpe.any_tokenizer import load_any_tokenizer
from bpe.arguments import AnyTokenizer, OutTokenizer, Pattern, SpecialTokens
from bpe.atomic_file import check_can_create, check_can_write
from bpe.directory_format import check_holds_none
from bpe.terminal import print_facts
from bpe.tokenizer import Tokenizer


def convert(
    tokenizer: AnyTokenizer,
    /,
    *,
    out: OutTokenizer,
    special_tokens: SpecialTokens = (),
    pattern: Pattern = None,
    overwrite: bool = False,
) -> None:
    """Write a tokenizer in another format; the ids stay the same.

    Example: bpe convert tok --out tokenizer.json

    Example: bpe convert my.tiktoken --pattern llama3 --out tok

    Args:
        tokenizer: A directory that bpe train wrote, a tokenizer.json of Hugging Face or a directory
            of one, a rank file of tiktoken, or a name that tiktoken knows, such as o200k_base.
        out: Where to write: FILE.json for Hugging Face, FILE.tiktoken for a rank file, else a
            directory as bpe train writes it.
        special_tokens: For a rank file, which names none: a special token with its id, as in
            '<|endoftext|>=0', or all of them without, for the next free ids. Repeat for more.
        pattern: For a rank file, which names none: how text is cut, as for bpe train.
        overwrite: Replace what --out holds.
    """
    if special_tokens and pattern is None:
        raise ValueError("--special-token is for rank files, and needs their --pattern beside it")
    if pattern and (tokenizer.endswith(".json") or not Path(tokenizer).is_file()):
        raise ValueError(f"{tokenizer}: names its pattern itself; --pattern is for rank files")
    is_file = out.suffix in (".json", ".tiktoken")
    if is_file:
        check_can_write(out)
    else:
        check_can_create(out)
    if is_file and out.exists() and not overwrite:
        raise ValueError(f"{out}: exists; --overwrite replaces it, another --out keeps it")
    if not is_file and not overwrite:
        check_holds_none(out)
    if pattern:
        loaded = Tokenizer.from_tiktoken(tokenizer, _with_ids(special_tokens), pattern=pattern)
    else:
        loaded = load_any_tokenizer(tokenizer)
    out.parent.mkdir(parents=True, exist_ok=True)
    write = {".json": loaded.to_huggingface, ".tiktoken": loaded.to_tiktoken}
    write.get(out.suffix, loaded.save)(out)
    facts = {"tokenizer": str(out), "tokens": f"{len(loaded.vocab):,}"}
    if out.suffix == ".tiktoken":
        words = ["bpe", "convert", str(out), "--pattern", loaded.pattern]
        for text, token_id in loaded.special_tokens.items():
            words += ["--special-token", f"{text}={token_id}"]
        facts["to read it"] = f"{shlex.join(words)} --out DIR"
    print_facts(facts)


def _with_ids(special_tokens: Sequence[str]) -> Sequence[str] | dict[str, int]:
    """Return what `TEXT=ID` says, or texts that are not written so."""
    pairs = [text.rpartition("=") for text in special_tokens]
    ids = {text: int(token_id) for text, _, token_id in pairs if text and token_id.isdecimal()}
    if ids and len(ids) != len(special_tokens):
        raise ValueError("--special-token: give each its id, once, as TEXT=ID, or none of them")
    return ids or special_tokens
