"""The commands that use a tokenizer: what each one takes, does and prints."""

import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from rich.console import Console

from bpe.any_tokenizer import load_any_tokenizer
from bpe.arguments import (
    AnyTokenizer,
    Column,
    Errors,
    File,
    OutText,
    OutTokens,
    TokenFile,
    as_source,
)
from bpe.atomic_file import atomic_file
from bpe.facts import memory_fact, plural
from bpe.file_encoding import FileEngine, end_of_document
from bpe.open_text import open_text
from bpe.terminal import Display, print_facts
from bpe.text_source import TextSource
from bpe.token_file import read_token_file
from bpe.tokenizer import Tokenizer

_IDS_PER_LINE = 20
_IDS_PER_BATCH = 1 << 16


def encode(
    tokenizer: AnyTokenizer,
    file: File,
    /,
    *,
    out: OutTokens = None,
    specials: Literal["all", "none"] = "all",
    errors: Errors = "strict",
    column: Column = "text",
    end_of_text: bool = True,
    engine: FileEngine = "auto",
) -> None:
    """Turn text into token ids.

    Example: bpe encode tok book.txt --out book.npy

    Example: echo 'Once upon a time' | bpe encode tok -

    Args:
        tokenizer: A directory that bpe train wrote, a tokenizer.json of Hugging Face or a directory
            of one, a rank file of tiktoken, or a name that tiktoken knows, such as o200k_base.
        file: UTF-8 text, or .jsonl or .parquet with documents; .gz and .zst are unpacked; a URL
            such as s3://... is read from there; - is plain text from standard input.
        out: Where to write the ids, as a uint16 or uint32 array; .npy is appended where it is
            missing. Without --out they are printed.
        specials: Whether special tokens in the text become their ids, or are text like any other.
        errors: What to do about bytes that are not UTF-8: stop, or read them as U+FFFD.
        column: Where .jsonl and .parquet files hold the text.
        end_of_text: Whether <|endoftext|>, if it is a special token, follows each document of a
            .jsonl or .parquet file.
        engine: With ray (pip install ray) the work is spread over a cluster. The ids are the same.
    """
    loaded, source = load_any_tokenizer(tokenizer), as_source(file)
    if out is None:
        if engine != "auto":
            raise ValueError(f"--engine {engine} writes files; say which with --out")
        text = open_text(source, column=column, errors=errors)
        ids = _ids(loaded, text, specials, end_of_text)
        while line := list(islice(ids, _IDS_PER_LINE)):
            print(" ".join(map(str, line)))
        return
    start = time.perf_counter()
    with Display(Console(stderr=True)) as display:
        encoded = loaded.encode_file(
            source,
            out,
            allowed_special=specials,
            errors=errors,
            column=column,
            end_of_text=end_of_text,
            engine=engine,
            progress=lambda done, total: display.update("encoding", done, total, "bytes"),
        )
    if encoded.num_replacements:
        malformed = plural(encoded.num_replacements, "malformed byte")
        print(f"warning: {source}: {malformed} read as U+FFFD", file=sys.stderr)
    seconds = time.perf_counter() - start
    print_facts(
        {
            "file": f"{encoded.path} (and {encoded.path.name}.json)",
            "text": f"{encoded.num_bytes:,} bytes",
            "tokens": f"{encoded.num_tokens:,}",
            "ratio": f"{encoded.num_bytes / max(encoded.num_tokens, 1):.3f} bytes per token",
            "time": f"{seconds:,.1f} s ({encoded.num_bytes / seconds / 1e6:,.1f} MB/s)",
            **memory_fact(),
        }
    )


def decode(
    tokenizer: AnyTokenizer,
    file: TokenFile,
    /,
    *,
    out: OutText = None,
) -> None:
    """Turn token ids back into text, byte for byte.

    Example: bpe decode tok book.npy --out book.txt

    Example: echo 464 2068 | bpe decode tok -

    Args:
        tokenizer: A directory that bpe train wrote, a tokenizer.json of Hugging Face or a directory
            of one, a rank file of tiktoken, or a name that tiktoken knows, such as o200k_base.
        file: Ids that bpe encode wrote; - reads ids as text from standard input.
        out: Where to write the text; without it, it is printed.
    """
    pieces = _decode_pieces(load_any_tokenizer(tokenizer), file)
    if out is None:
        sys.stdout.buffer.writelines(pieces)
        return
    with atomic_file(out) as destination:
        destination.writelines(pieces)
        num_bytes = destination.tell()
    print_facts({"file": str(out), "text": f"{num_bytes:,} bytes"})


def _ids(tokenizer: Tokenizer, text: TextSource, specials: str, end_of_text: bool) -> Iterator[int]:
    """Yield the ids of a file as they come."""
    end_id = end_of_document(text, tokenizer.special_tokens) if end_of_text else None
    for document in text.documents():
        yield from tokenizer.encode_iterable(document, allowed_special=specials)
        if end_id is not None:
            yield end_id


def _decode_pieces(tokenizer: Tokenizer, file: Path) -> Iterator[bytes]:
    if str(file) == "-":
        data = sys.stdin.buffer.read()
        if data.startswith(b"\x93NUMPY"):
            raise ValueError("standard input is a .npy file; give its name instead of -")
        words = data.decode(errors="replace").split()
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
