"""`bpe train`: learn a vocabulary from text files, or from what `bpe count` found in them."""

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from bpe.arguments import (
    Column,
    CountsFiles,
    Errors,
    Files,
    Number,
    OutDirectory,
    Pattern,
    SpecialTokens,
    Workers,
    as_source,
)
from bpe.atomic_file import check_can_create
from bpe.directory_format import check_holds_none
from bpe.engines import TrainingEngine
from bpe.facts import longest, memory_fact, plural
from bpe.merging import TieBreak
from bpe.pretoken_counts import PretokenCounts, sum_counts
from bpe.terminal import Display, print_facts, show_tokens
from bpe.tokenizer import Tokenizer
from bpe.training import TrainingProgress, train_bpe, train_bpe_from_counts


def train(
    files: Files,
    /,
    *,
    vocab_size: Number,
    out: OutDirectory,
    from_counts: CountsFiles = (),
    special_tokens: SpecialTokens = (),
    pattern: Pattern = None,
    tie_break: TieBreak = "bytes",
    errors: Errors = "strict",
    column: Column = "text",
    workers: Workers = None,
    engine: TrainingEngine = "auto",
    overwrite: bool = False,
) -> None:
    """Train a tokenizer on text files.

    Example: bpe train book.txt --vocab-size 8000 --out tok

    Example: bpe train --from-counts part*.npz --vocab-size 8000 --out tok

    Args:
        files: UTF-8 text, or .jsonl or .parquet with documents; .gz and .zst are unpacked; a URL
            such as s3://... is read from there; - is plain text from standard input. No token
            spans two files or documents.
        vocab_size: Tokens in all: the special ones, 256 bytes, and the rest learned from the text.
        out: Where to write vocab.json, merges.txt and special_tokens.json.
        from_counts: Instead of files, what bpe count wrote: one part or several. Special tokens and
            the pattern are those of the parts.
        special_tokens: A text that is always one token of its own. Repeat for more.
        pattern: How text is cut before merging: gpt2 (the default), cl100k, llama3, o200k or a
            regular expression.
        tie_break: Which of equally frequent pairs is merged first; huggingface does as the
            tokenizers library.
        errors: What to do about bytes that are not UTF-8: stop, or read them as U+FFFD.
        column: Where .jsonl and .parquet files hold the text.
        workers: How many count at once; by default as many as help. The result is the same.
        engine: Plain Python, or compiled kernels (pip install numba); by default the one done
            first. With ray (pip install ray) counting is spread over a cluster. The result is the
            same.
        overwrite: Replace the tokenizer that --out holds.
    """
    start = time.perf_counter()
    if files and from_counts:
        raise ValueError("FILES and --from-counts are two ways to train; give one of them")
    if not files and not from_counts:
        raise ValueError("no files to train on; give at least one, as in: bpe train book.txt ...")
    check_can_create(out)
    if not overwrite:
        check_holds_none(out)

    text_bytes = 0
    with Display(Console(stderr=True)) as display:

        def show(step: TrainingProgress) -> None:
            nonlocal text_bytes
            text_bytes = step.text_bytes
            _show(display, step)

        if from_counts:
            if engine == "ray":
                raise ValueError("--engine ray is for counting; it cannot help --from-counts")
            set_to = {"workers": workers, "errors": errors, "column": column}
            counts = _sum_parts(from_counts, special_tokens, pattern, set_to)
            special_tokens, pattern = counts.special_tokens, counts.pattern
            text_from = f"{plural(len(from_counts), 'file')} of counts"
            vocab, merges = train_bpe_from_counts(
                counts, vocab_size, tie_break=tie_break, engine=engine, progress=show
            )
        else:
            pattern = pattern or "gpt2"
            text_from = plural(len(files), "file")
            vocab, merges = train_bpe(
                [*map(as_source, files)],
                vocab_size,
                special_tokens,
                pattern=pattern,
                tie_break=tie_break,
                errors=errors,
                column=column,
                workers=workers,
                engine=engine,
                progress=show,
            )
    Tokenizer(vocab, merges, special_tokens, pattern=pattern).save(out)

    text = "TEXT" if files[:1] in [(), ("-",)] else shlex.quote(files[0])
    specials = f"{len(special_tokens)} special, " if special_tokens else ""
    print_facts(
        {
            "tokenizer": f"{out} (vocab.json, merges.txt, special_tokens.json)",
            "tokens": f"{len(vocab):,}: {specials}256 bytes, {len(merges):,} merges",
            "text": f"{text_bytes:,} bytes in {text_from}",
            "time": f"{time.perf_counter() - start:,.1f} s",
            **memory_fact(),
            "longest": longest(vocab, special_tokens),
            "next": f"bpe report {shlex.quote(str(out))} {text}",
        }
    )


def _show(display: Display, step: TrainingProgress) -> None:
    if step.phase == "count":
        display.update("counting", step.done, step.total, "bytes")
    else:
        newest = f"newest {show_tokens([step.token], 32)}" if step.token else ""
        display.update("merging", step.done, step.total, "merges", newest)


def _sum_parts(
    parts: Sequence[Path],
    special_tokens: Sequence[str],
    pattern: str | None,
    set_to: Mapping[str, object],
) -> PretokenCounts:
    """Add the parts up, and refuse what is asked for but cannot be changed any more."""
    for name, default in [("workers", None), ("errors", "strict"), ("column", "text")]:
        if set_to[name] != default:
            raise ValueError(f"--{name} is for bpe count; with --from-counts it changes nothing")
    counts = sum_counts(parts)
    if special_tokens and tuple(special_tokens) != counts.special_tokens:
        raise ValueError(
            f"{parts[0]}: counted with the special tokens {[*counts.special_tokens]!r}, "
            f"not {[*special_tokens]!r}"
        )
    if pattern and pattern != counts.pattern:
        raise ValueError(
            f"{parts[0]}: counted with the pattern {counts.pattern!r}, not {pattern!r}"
        )
    return counts
