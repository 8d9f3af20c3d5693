"""`bpe report`: how well a tokenizer suits a text, by itself and against another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.cells import cell_len
from rich.console import Console

from bpe.any_tokenizer import load_any_tokenizer
from bpe.arguments import AnyTokenizer, Column, Errors, File, as_source
from bpe.facts import longest, memory_fact
from bpe.report import Report, measure, share_of_tenths
from bpe.terminal import Display, print_facts, show_tokens
from bpe.tokenizer import Tokenizer

Other = Annotated[str | None, tyro.conf.arg(metavar="TOKENIZER", help_behavior_hint="")]

_BAR_WIDTH = 40


def report(
    tokenizer: AnyTokenizer,
    file: File,
    /,
    *,
    against: Other = None,
    errors: Errors = "strict",
    column: Column = "text",
) -> None:
    """Measure a tokenizer on a text: compression, throughput, used tokens, memory.

    Example: bpe report tok book.txt

    Example: bpe report tok book.txt --against tokenizer.json

    Args:
        tokenizer: A directory that bpe train wrote, or whatever --against takes.
        file: What bpe encode takes; - is plain text from standard input.
        against: Another tokenizer to measure on the same text: a directory, a tokenizer.json of
            Hugging Face, a rank file of tiktoken, or a name that tiktoken knows, such as
            o200k_base.
        errors: What to do about bytes that are not UTF-8: stop, or read them as U+FFFD.
        column: Where .jsonl and .parquet files hold the text.
    """
    loaded = load_any_tokenizer(tokenizer)
    if against is not None and file == "-":
        raise ValueError("--against reads the text twice; give a file instead of -")
    other = None if against is None else load_any_tokenizer(against, like=loaded)
    with Display(Console(stderr=True)) as display:

        def measure_one(phase: str, tokenizer: Tokenizer) -> Report:
            return measure(
                tokenizer,
                as_source(file),
                errors=errors,
                column=column,
                progress=lambda done, total: display.update(phase, done, total, "bytes"),
            )

        found = measure_one("measuring", loaded)
        others = None if other is None else measure_one("the other", other)
    _print_one(loaded, found)
    _print_tenths(found, loaded.vocab_size)
    if other is not None and others is not None and against is not None:
        names = _short_names(tokenizer, against)
        _print_both(names, [loaded, other], [found, others])


def _print_one(tokenizer: Tokenizer, found: Report) -> None:
    used, size = len(found.counts), len(tokenizer.vocab)
    used_tokens = {token_id: tokenizer.vocab[token_id] for token_id in found.counts}
    frequent = sorted(found.counts, key=found.counts.__getitem__, reverse=True)
    print_facts(
        {
            "text": f"{found.num_bytes:,} bytes, {found.num_tokens:,} tokens",
            "compression": f"{found.bytes_per_token:.3f} bytes per token",
            "vocabulary": f"{used:,} of {size:,} tokens used ({used / size:.1%})",
            "encoding": f"{found.num_bytes / 1e6 / found.encode_seconds:,.1f} MB/s",
            "decoding": f"{found.num_bytes / 1e6 / found.decode_seconds:,.1f} MB/s",
            **memory_fact(),
            "frequent": show_tokens([used_tokens[token_id] for token_id in frequent]),
            "longest used": longest(used_tokens, tokenizer.special_tokens),
            "longest": longest(tokenizer.vocab, tokenizer.special_tokens),
        }
    )


def _print_tenths(found: Report, vocab_size: int) -> None:
    """Print which share of the text each tenth of the vocabulary makes up, as bars."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    block = "\u2588" if console.encoding.lower().startswith("utf") else "#"
    tenths = share_of_tenths(found.counts, vocab_size)
    width = len(f"{vocab_size - 1:,}")
    most = max(share for _, share in tenths)
    console.print("\nids by tenths of the vocabulary, and their share of the text's tokens")
    for ids, share in tenths:
        bar = block * round(_BAR_WIDTH * share / most)
        line = f"{ids.start:>{width},} to {ids.stop - 1:>{width},}  {share:6.1%}  {bar}"
        console.print(line.rstrip())


def _print_both(names: Sequence[str], both: Sequence[Tokenizer], found: Sequence[Report]) -> None:
    columns: list[Mapping[str, str]] = [
        {
            "": name,
            "vocabulary": f"{len(tokenizer.vocab):,}",
            "tokens": f"{measures.num_tokens:,}",
            "bytes per token": f"{measures.bytes_per_token:.3f}",
        }
        for name, tokenizer, measures in zip(names, both, found, strict=True)
    ]
    console = Console(soft_wrap=True, markup=False, highlight=False)
    widths = [max(map(cell_len, column.values())) for column in columns]
    console.print()
    for label in columns[0]:
        cells = [column[label] for column in columns]
        padded = [
            " " * (width - cell_len(cell)) + cell for width, cell in zip(widths, cells, strict=True)
        ]
        console.print(f"{label:<15}  {'  '.join(padded)}")
    ratio = found[0].num_tokens / found[1].num_tokens
    console.print(f"{names[0]} takes {ratio:.3f} times the tokens of {names[1]}")


def _short_names(first: str, second: str) -> list[str]:
    """Return the last parts of two paths if they differ, else the whole of them."""
    short = [Path(first).name or first, Path(second).name or second]
    return short if short[0] != short[1] else [first, second]
