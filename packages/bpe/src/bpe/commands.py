"""The commands of `bpe`: what each one takes, does and prints."""

import errno
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from bpe.atomic_file import atomic_file
from bpe.engines import Engine
from bpe.report import measure, peak_memory
from bpe.terminal import Display, print_facts, show_tokens
from bpe.text_file import TextFile
from bpe.token_file import read_token_file
from bpe.tokenizer import Tokenizer
from bpe.training import TrainingProgress, train_bpe

_IDS_PER_LINE = 20
_IDS_PER_BATCH = 1 << 16

Errors = Literal["strict", "replace"]
Files = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILES...", help_behavior_hint="")]
File = Annotated[Path, tyro.conf.arg(metavar="FILE")]
TokenFile = Annotated[Path, tyro.conf.arg(metavar="FILE.npy")]
TokenizerDirectory = Annotated[Path, tyro.conf.arg(metavar="TOKENIZER")]
Number = Annotated[int, tyro.conf.arg(metavar="N")]
OutDirectory = Annotated[Path, tyro.conf.arg(metavar="DIR")]
SpecialTokens = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(name="special-token", metavar="TEXT"),
]
Workers = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")]
OutTokens = Annotated[Path | None, tyro.conf.arg(metavar="FILE.npy", help_behavior_hint="")]
OutText = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]


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
            "text": f"{num_bytes:,} bytes in {_plural(len(files), 'file')}",
            "time": f"{time.perf_counter() - start:,.1f} s",
            **_memory_fact(),
            "longest": _longest(vocab, special_tokens),
            "next": f"bpe report {out} {files[0]}",
        }
    )


def encode(
    tokenizer: TokenizerDirectory,
    file: File,
    /,
    *,
    out: OutTokens = None,
    specials: Literal["all", "none"] = "all",
    errors: Errors = "strict",
) -> None:
    """Turn text into token ids.

    Example: bpe encode tok book.txt --out book.npy

    Example: echo 'Once upon a time' | bpe encode tok -

    Args:
        tokenizer: A directory that bpe train wrote.
        file: UTF-8 text; - is standard input.
        out: Where to write the ids, as a uint16 or uint32 array; without it they are printed.
        specials: Whether special tokens in the text become their ids, or are text like any other.
        errors: What to do about bytes that are not UTF-8: stop, or read them as U+FFFD.
    """
    loaded, source = _load(tokenizer), _source(file)
    if out is None:
        ids = loaded.encode_iterable(TextFile(source, errors=errors), allowed_special=specials)
        while line := list(islice(ids, _IDS_PER_LINE)):
            print(*line)
        return
    start = time.perf_counter()
    with Display(Console(stderr=True)) as display:
        encoded = loaded.encode_file(
            source,
            out,
            allowed_special=specials,
            errors=errors,
            progress=lambda done, total: display.update("encoding", done, total, "bytes"),
        )
    if encoded.num_replacements:
        malformed = _plural(encoded.num_replacements, "malformed byte")
        print(f"warning: {source}: {malformed} read as U+FFFD", file=sys.stderr)
    seconds = time.perf_counter() - start
    print_facts(
        {
            "file": f"{encoded.path} (and {encoded.path.name}.json)",
            "text": f"{encoded.num_bytes:,} bytes",
            "tokens": f"{encoded.num_tokens:,}",
            "ratio": f"{encoded.num_bytes / max(encoded.num_tokens, 1):.3f} bytes per token",
            "time": f"{seconds:,.1f} s ({encoded.num_bytes / seconds / 1e6:,.1f} MB/s)",
            **_memory_fact(),
        }
    )


def decode(
    tokenizer: TokenizerDirectory,
    file: TokenFile,
    /,
    *,
    out: OutText = None,
) -> None:
    """Turn token ids back into text, byte for byte.

    Example: bpe decode tok book.npy --out book.txt

    Example: echo 464 2068 | bpe decode tok -

    Args:
        tokenizer: A directory that bpe train wrote.
        file: Ids that bpe encode wrote; - reads ids as text from standard input.
        out: Where to write the text; without it, it is printed.
    """
    pieces = _decode_pieces(_load(tokenizer), file)
    if out is None:
        sys.stdout.buffer.writelines(pieces)
        return
    with atomic_file(out) as destination:
        destination.writelines(pieces)
        num_bytes = destination.tell()
    print_facts({"file": str(out), "text": f"{num_bytes:,} bytes"})


def report(
    tokenizer: TokenizerDirectory,
    file: File,
    /,
    *,
    errors: Errors = "strict",
) -> None:
    """Measure a tokenizer on a text: compression, throughput, longest tokens, memory.

    Example: bpe report tok book.txt

    Args:
        tokenizer: A directory that bpe train wrote.
        file: UTF-8 text; - is standard input.
        errors: What to do about bytes that are not UTF-8: stop, or read them as U+FFFD.
    """
    loaded = _load(tokenizer)
    with Display(Console(stderr=True)) as display:
        found = measure(
            loaded,
            _source(file),
            errors=errors,
            progress=lambda done, total: display.update("measuring", done, total, "bytes"),
        )
    used, size = len(found.counts), len(loaded.vocab)
    used_tokens = {token_id: loaded.vocab[token_id] for token_id in found.counts}
    frequent = sorted(found.counts, key=found.counts.__getitem__, reverse=True)
    megabytes = found.num_bytes / 1e6
    print_facts(
        {
            "text": f"{found.num_bytes:,} bytes, {found.num_tokens:,} tokens",
            "compression": f"{found.bytes_per_token:.3f} bytes per token",
            "vocabulary": f"{used:,} of {size:,} tokens used ({used / size:.1%})",
            "encoding": f"{megabytes / found.encode_seconds:,.1f} MB/s",
            "decoding": f"{megabytes / found.decode_seconds:,.1f} MB/s",
            **_memory_fact(),
            "frequent": show_tokens([used_tokens[token_id] for token_id in frequent]),
            "longest used": _longest(used_tokens, loaded.special_tokens),
            "longest": _longest(loaded.vocab, loaded.special_tokens),
        }
    )


def _load(directory: Path) -> Tokenizer:
    if not (directory / "special_tokens.json").exists():
        raise ValueError(
            f"{directory}: holds no tokenizer; `bpe train FILES... --out {directory}` makes one"
        )
    return Tokenizer.load(directory)


def _source(file: Path) -> Path:
    return Path("/dev/stdin") if str(file) == "-" else file


def _check_can_create(directory: Path) -> None:
    """Raise OSError now if `directory` could not be written after the training."""
    nearest = next(path for path in [directory, *directory.absolute().parents] if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


def _decode_pieces(tokenizer: Tokenizer, file: Path) -> Iterator[bytes]:
    if str(file) == "-":
        words = sys.stdin.read().split()
        try:
            yield tokenizer.decode_bytes(map(int, words))
        except ValueError:
            wrong = next((word for word in words if not word.isdecimal()), None)
            if wrong is None:
                raise
            raise ValueError(f"{wrong!r} is not a token id") from None
        return
    ids, _ = read_token_file(file, tokenizer_sha256=tokenizer.sha256)
    for first in range(0, len(ids), _IDS_PER_BATCH):
        yield tokenizer.decode_bytes(ids[first : first + _IDS_PER_BATCH])


def _memory_fact() -> dict[str, str]:
    memory = peak_memory()
    return {} if memory is None else {"peak memory": f"{memory / 1e6:,.0f} MB"}


def _longest(vocab: Mapping[int, bytes], special_tokens: Collection[str]) -> str:
    specials = {special.encode() for special in special_tokens}
    ordinary = [token for token in vocab.values() if token not in specials]
    return show_tokens(sorted(ordinary, key=len, reverse=True))


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
