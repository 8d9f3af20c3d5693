"""Train a byte-level BPE vocabulary: count the pretokens of files, then learn merges."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bpe.counting import CHUNK_BYTES, count_pretokens
from bpe.engines import Engine, choose_engine
from bpe.merging import MAX_VOCAB_SIZE, TieBreak, learn_merges
from bpe.patterns import compile_pattern
from bpe.streaming import check_errors
from bpe.vocabulary import check_special_texts

StrPath = str | os.PathLike[str]

_logger = logging.getLogger("bpe")


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training has come.

    In phase "count" `done` and `total` are bytes of the files, in phase "merge" merges, from 0 on;
    `token` is the newest token, if there is one.
    """

    phase: Literal["count", "merge"]
    done: int
    total: int
    token: bytes = b""


def train_bpe(
    input_path: StrPath | Sequence[StrPath],
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    pattern: str = "gpt2",
    tie_break: TieBreak = "bytes",
    workers: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    errors: Literal["strict", "replace"] = "strict",
    engine: Engine = "auto",
    progress: Callable[[TrainingProgress], None] | None = None,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Train on one UTF-8 file or several; return the vocabulary and the merges in order.

    Ids: the special tokens in the order given, then the 256 bytes, then the merges. Special tokens
    are cut out of the text first (of overlapping ones the longest) and never counted.

    pattern: a name in `PATTERNS`, or any regular expression of the `regex` module.
    tie_break: of pairs with equal counts, "bytes" takes the lexicographically greater pair of
        byte strings, "huggingface" the pair that the tokenizers library takes.
    workers: processes or threads that count; None for all CPUs if the files are large.
    chunk_bytes: how much text is counted at a time; bounds the memory.
    errors: "replace" reads malformed bytes as U+FFFD, logs how many, and goes on.
    engine: "reference" is plain Python, "kernels" is compiled code, which needs `bpe[fast]`; "auto"
        takes the one that will be done first.
    progress: called after every chunk and every merge.

    The result depends on the files, `vocab_size`, `special_tokens`, `pattern` and `tie_break`
    alone. When no pair is left to merge the vocabulary stays smaller, which is logged as a warning
    (logger "bpe").

    Raises ValueError for bad arguments, an empty corpus or text that is not UTF-8, OSError for a
    file that cannot be read, and ChildProcessError when a counting process is killed.
    """
    paths = _as_paths(input_path)
    _check(vocab_size, special_tokens, pattern, tie_break, workers, chunk_bytes, errors)
    num_bytes = sum(_size(path) for path in paths)

    def report_bytes(done: int) -> None:
        if progress is not None:
            progress(TrainingProgress("count", done, num_bytes))

    count, learn = _functions_of(choose_engine(engine, num_bytes))
    found = count(
        paths,
        special_tokens,
        pattern=pattern,
        workers=workers,
        chunk_bytes=chunk_bytes,
        errors=errors,
        on_read=report_bytes,
    )
    names = ", ".join(os.fspath(path) for path in paths)
    if not found.num_bytes:
        raise ValueError(f"{names}: no text to train on (0 bytes)")
    for name, num_replacements in found.num_replacements.items():
        _logger.warning("%s: %d malformed bytes read as U+FFFD", name, num_replacements)

    vocab = dict(enumerate(_base_tokens(special_tokens)))
    num_merges = vocab_size - len(vocab)

    def report_merges(token: bytes = b"") -> None:
        if progress is not None:
            done = num_merges - vocab_size + len(vocab)
            progress(TrainingProgress("merge", done, num_merges, token))

    def add(token: bytes) -> None:
        vocab[len(vocab)] = token
        report_merges(token)

    report_merges()
    merges = learn(found.counts, num_merges, tie_break=tie_break, on_merge=add)
    if len(merges) < num_merges:
        _logger.warning(
            "no pair is left to merge: the vocabulary has %d of %d tokens", len(vocab), vocab_size
        )
    return vocab, merges


def _functions_of(
    engine: Literal["reference", "kernels"],
) -> tuple[Callable[..., Any], Callable[..., list[tuple[bytes, bytes]]]]:
    """Return what counts the pretokens, and what learns merges from the counts."""
    if engine == "reference":
        return count_pretokens, learn_merges
    # Imported here: the reference has no use for them.
    from bpe.kernels import counting, merging

    return counting.count_pretokens, merging.learn_merges


def _as_paths(input_path: StrPath | Sequence[StrPath]) -> list[StrPath]:
    if isinstance(input_path, (str, os.PathLike)):
        return [input_path]
    if not input_path:
        raise ValueError("input_path is empty; give at least one file")
    return list(input_path)


def _size(path: StrPath) -> int:
    # Opening finds what a size does not: a directory, a file that may not be read.
    with Path(path).open("rb") as stream:
        return os.fstat(stream.fileno()).st_size


def _base_tokens(special_tokens: Sequence[str]) -> list[bytes]:
    return [token.encode() for token in special_tokens] + [bytes([byte]) for byte in range(256)]


def _check(
    vocab_size: int,
    special_tokens: Sequence[str],
    pattern: str,
    tie_break: str,
    workers: int | None,
    chunk_bytes: int,
    errors: str,
) -> None:
    check_special_texts(special_tokens)
    smallest = 256 + len(special_tokens)
    if not smallest <= vocab_size <= MAX_VOCAB_SIZE:
        raise ValueError(
            f"vocab_size={vocab_size} is not in {smallest}..{MAX_VOCAB_SIZE}; the smallest holds "
            f"256 bytes and {len(special_tokens)} special tokens"
        )
    compile_pattern(pattern)
    check_errors(errors)
    if tie_break not in get_args(TieBreak):
        choices = " or ".join(map(repr, get_args(TieBreak)))
        raise ValueError(f"tie_break is {tie_break!r}; it can be {choices}")
    for name, number in [("workers", workers), ("chunk_bytes", chunk_bytes)]:
        if number is not None and number < 1:
            raise ValueError(f"{name}={number} must be at least 1")
