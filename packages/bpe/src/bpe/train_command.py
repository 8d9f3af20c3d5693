"""`bpe train`: learn a vocabulary from text files."""

import errno
import os
import time
from pathlib import Path
from typing import Literal

from rich.console import Console

from bpe.arguments import Errors, Files, Number, OutDirectory, SpecialTokens, Workers
from bpe.engines import Engine
from bpe.facts import longest, memory_fact, plural
from bpe.terminal import Display, print_facts, show_tokens
from bpe.tokenizer import Tokenizer
from bpe.training import TrainingProgress, train_bpe


def train(
    files: Files,
    /,
    *,
    vocab_size: Number,
    out: OutDirectory,
    special_tokens: SpecialTokens = (),
    pattern: str = "gpt2",
    tie_break: Literal["bytes", "huggingface"] = "bytes",
    errors: Errors = "strict",
    workers: Workers = None,
    engine: Engine = "auto",
) -> None:
    """Train a tokenizer on text files.

    Example: bpe train book.txt --vocab-size 8000 --special-token '<|endoftext|>' --out tok

    Args:
        files: UTF-8 text, one file or several. No token spans two files.
        vocab_size: Tokens in all: the special ones, 256 bytes, and the rest learned from the text.
        out: Where to write vocab.json, merges.txt and special_tokens.json.
        special_tokens: A text that is always one token of its own. Repeat for more.
        pattern: How text is cut before merging: gpt2, cl100k, o200k or a regular expression.
        tie_break: Which of equally frequent pairs is merged first; huggingface does as the
            tokenizers library.
        errors: What to do about bytes that are not UTF-8: stop, or read them as U+FFFD.
        workers: How many count at once; by default as many as help. The result is the same.
        engine: Plain Python, or compiled kernels (bpe[fast]); by default the one done first. The
            result is the same.
    """
    start = time.perf_counter()
    if not files:
        raise ValueError("no files to train on; give at least one, as in: bpe train book.txt ...")
    _check_can_create(out)

    with Display(Console(stderr=True)) as display:

        def show(step: TrainingProgress) -> None:
            if step.phase == "count":
                display.update("counting", step.done, step.total, "bytes")
            else:
                newest = f"newest {show_tokens([step.token], 32)}" if step.token else ""
                display.update("merging", step.done, step.total, "merges", newest)

        vocab, merges = train_bpe(
            files,
            vocab_size,
            special_tokens,
            pattern=pattern,
            tie_break=tie_break,
            errors=errors,
            workers=workers,
            engine=engine,
            progress=show,
        )
    Tokenizer(vocab, merges, special_tokens, pattern=pattern).save(out)

    num_bytes = sum(path.stat().st_size for path in files)
    specials = f"{len(special_tokens)} special, " if special_tokens else ""
    print_facts(
        {
            "tokenizer": f"{out} (vocab.json, merges.txt, special_tokens.json)",
            "tokens": f"{len(vocab):,}: {specials}256 bytes, {len(merges):,} merges",
            "text": f"{num_bytes:,} bytes in {plural(len(files), 'file')}",
            "time": f"{time.perf_counter() - start:,.1f} s",
            **memory_fact(),
            "longest": longest(vocab, special_tokens),
            "next": f"bpe report {out} {files[0]}",
        }
    )


def _check_can_create(directory: Path) -> None:
    """Raise OSError now if `directory` could not be written after the training."""
    nearest = next(path for path in [directory, *directory.absolute().parents] if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))
