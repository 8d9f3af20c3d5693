"""`bpe view`: show where the tokens of a text begin and end."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated

import tyro
from rich.console import Console
from rich.text import Text

from bpe.any_tokenizer import load_any_tokenizer
from bpe.arguments import AnyTokenizer, Errors, as_source
from bpe.facts import plural
from bpe.text_file import TextFile
from bpe.token_view import ViewedToken, view_tokens

_TOKENS_AT_ONCE = 1 << 9

ShowIds = Annotated[bool, tyro.conf.FlagCreatePairsOff]
TextOrFile = Annotated[str, tyro.conf.arg(metavar="TEXT")]


def view(
    tokenizer: AnyTokenizer,
    text: TextOrFile,
    /,
    *,
    ids: ShowIds = False,
    errors: Errors = "strict",
) -> None:
    """Show the tokens of a text: in colours on a terminal, else with bars between.

    Example: bpe view tok 'Once upon a time'

    Example: bpe view tok book.txt --ids

    Args:
        tokenizer: A directory that bpe train wrote, a tokenizer.json of Hugging Face or a directory
            of one, a rank file of tiktoken, or a name that tiktoken knows, such as o200k_base.
        text: A file of UTF-8 text, - for standard input, or where no file has that name, a text.
        ids: Show the id of each token behind it.
        errors: What to do about bytes that are not UTF-8: stop, or read them as U+FFFD.
    """
    loaded = load_any_tokenizer(tokenizer)
    special_ids = frozenset(loaded.special_tokens.values())
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    num_tokens = num_specials = num_bytes = 0

    def viewed() -> Iterator[ViewedToken]:
        nonlocal num_tokens, num_specials, num_bytes
        for token_id in loaded.encode_iterable(_strings(text, errors)):
            token = ViewedToken(token_id, loaded.vocab[token_id], token_id in special_ids)
            num_tokens += 1
            num_specials += token.is_special
            num_bytes += len(token.token)
            yield token

    pieces = view_tokens(viewed(), console, with_ids=ids)
    last = "\n"
    while batch := [*islice(pieces, _TOKENS_AT_ONCE)]:
        console.print(Text("").join(batch), end="")
        last = batch[-1].plain
    if not last.endswith("\n"):
        console.print()
    specials = f", {num_specials:,} of them special" if num_specials else ""
    ratio = f", {num_bytes / num_tokens:.3f} bytes per token" if num_tokens else ""
    console.print(f"{plural(num_tokens, 'token')}{specials}; {plural(num_bytes, 'byte')}{ratio}")


def _strings(text: str, errors: str) -> Iterable[str]:
    source = as_source(text)
    return TextFile(source, errors=errors) if os.path.lexists(source) else (text,)
