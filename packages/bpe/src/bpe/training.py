"""Train a byte-level BPE vocabulary: count the pretokens of files, then learn merges."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bpe.byte_stream import stored_size
from bpe.count_files import as_paths, check_counting, count_files
from bpe.counting import CHUNK_BYTES
from bpe.engines import Engine, TrainingEngine, choose_engine
from bpe.merging import MAX_VOCAB_SIZE, TieBreak, learn_merges
from bpe.pretoken_counts import PretokenCounts, StrPath, sum_counts

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]

_logger = logging.getLogger("bpe")


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training has come.

    In phase "count" `done` and `total` are bytes of the files, as they are stored, in phase "merge"
    merges, from 0 on; `token` is the newest token, if there is one, and `text_bytes` how much text
    was counted, unpacked.
    """

    phase: Literal["count", "merge"]
    done: int
    total: int
    token: bytes = b""
    text_bytes: int = 0


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
    column: str = "text",
    engine: TrainingEngine = "auto",
    progress: Callable[[TrainingProgress], None] | None = None,
) -> Trained:
    """Train on one file or several; return the vocabulary and the merges in order.

    A file is UTF-8 text, or documents in a column of `.jsonl` or `.parquet`; text and JSON may be
    packed as `.gz` or `.zst`; a path with `://` goes through fsspec. Files and documents are
    separate texts.

    Ids: the special tokens in the order given, then the 256 bytes, then the merges. Special tokens
    are cut out of the text first (of overlapping ones the longest) and never counted.

    pattern: a name in `PATTERNS`, or any regular expression of the `regex` module.
    tie_break: of pairs with equal counts, "bytes" takes the lexicographically greater pair of
        byte strings, "huggingface" the pair that the tokenizers library takes.
    workers: processes or threads that count; None for all CPUs if the files are large.
    chunk_bytes: how much text is counted at a time; bounds the memory.
    errors: "replace" reads malformed bytes as U+FFFD, logs how many, and goes on.
    column: the field of JSON lines, or the column of Parquet files, that holds the text.
    engine: "reference" is plain Python, "kernels" is compiled code, which needs `bpe[fast]`; "auto"
        takes the one that will be done first; "ray" counts on a Ray cluster (`bpe[ray]`).
    progress: called after every chunk and every merge.

    The result depends on the files, `vocab_size`, `special_tokens`, `pattern` and `tie_break`
    alone. When no pair is left to merge the vocabulary stays smaller, which is logged as a warning
    (logger "bpe").

    Raises ValueError for bad arguments, an empty corpus or text that is not UTF-8, OSError for a
    file that cannot be read, and ChildProcessError when a counting process is killed.
    """
    paths = as_paths(input_path)
    check_counting(special_tokens, pattern, workers, chunk_bytes, errors)
    _check(vocab_size, special_tokens, tie_break)
    num_bytes = sum(map(stored_size, paths))

    def report_bytes(done: int) -> None:
        if progress is not None:
            # A pipe has no size.
            progress(TrainingProgress("count", done, max(num_bytes, done)))

    found = count_files(
        paths,
        special_tokens,
        engine=engine,
        pattern=pattern,
        workers=workers,
        chunk_bytes=chunk_bytes,
        errors=errors,
        column=column,
        on_read=report_bytes,
    )
    if not found.num_bytes:
        names = ", ".join(os.fspath(path) for path in paths)
        raise ValueError(f"{names}: no text to train on (0 bytes)")
    _warn_of_replacements(found.num_replacements)
    counts: Any = found.counts
    if engine == "ray":
        counts = _lay_out(counts, "auto", found.num_bytes)
    return _learn(counts, vocab_size, special_tokens, tie_break, progress, found.num_bytes)


def train_bpe_from_counts(
    counts: StrPath | PretokenCounts | Sequence[StrPath | PretokenCounts],
    vocab_size: int,
    *,
    tie_break: TieBreak = "bytes",
    engine: Engine = "auto",
    progress: Callable[[TrainingProgress], None] | None = None,
) -> Trained:
    """Train on what `count_pretokens` or `bpe count` found in any number of parts of a corpus.

    The special tokens and the pattern are those of the counts. The result is the one of `train_bpe`
    with all of the files.

    Raises ValueError for parts that do not belong together, and its subclass DamagedFileError for
    a file that is not whole.
    """
    total = sum_counts(counts)
    _check(vocab_size, total.special_tokens, tie_break)
    if not total.num_bytes:
        raise ValueError("the counts are of no text (0 bytes)")
    _warn_of_replacements(total.num_replacements)
    found = _lay_out(total.counts, engine, total.num_bytes)
    return _learn(found, vocab_size, total.special_tokens, tie_break, progress, total.num_bytes)


def _lay_out(counts: dict[str, int], engine: Engine, num_bytes: int) -> Any:
    """Return the counts as the engine for so many bytes of text wants them."""
    if choose_engine(engine, num_bytes) == "reference":
        return counts
    from bpe.kernels.counting import table_of

    return table_of(counts)


def _learn(
    counts: Any,
    vocab_size: int,
    special_tokens: Sequence[str],
    tie_break: TieBreak,
    progress: Callable[[TrainingProgress], None] | None,
    text_bytes: int,
) -> Trained:
    """Learn merges from counts, by the engine that made them."""
    vocab = dict(enumerate(_base_tokens(special_tokens)))
    num_merges = vocab_size - len(vocab)

    def report_merges(token: bytes = b"") -> None:
        if progress is not None:
            done = num_merges - vocab_size + len(vocab)
            progress(TrainingProgress("merge", done, num_merges, token, text_bytes))

    def add(token: bytes) -> None:
        vocab[len(vocab)] = token
        report_merges(token)

    report_merges()
    learn: Callable[..., list[tuple[bytes, bytes]]] = learn_merges
    if not isinstance(counts, dict):
        # Imported here: the reference has no use for it.
        from bpe.kernels.merging import learn_merges as learn
    merges = learn(counts, num_merges, tie_break=tie_break, on_merge=add)
    if len(merges) < num_merges:
        _logger.warning(
            "no pair is left to merge: the vocabulary has %d of %d tokens", len(vocab), vocab_size
        )
    return vocab, merges


def _warn_of_replacements(num_replacements: Mapping[str, int]) -> None:
    for name, number in num_replacements.items():
        _logger.warning("%s: %d malformed bytes read as U+FFFD", name, number)


def _base_tokens(special_tokens: Sequence[str]) -> list[bytes]:
    return [token.encode() for token in special_tokens] + [bytes([byte]) for byte in range(256)]


def _check(vocab_size: int, special_tokens: Sequence[str], tie_break: str) -> None:
    smallest = 256 + len(special_tokens)
    if not smallest <= vocab_size <= MAX_VOCAB_SIZE:
        raise ValueError(
            f"vocab_size={vocab_size} is not in {smallest}..{MAX_VOCAB_SIZE}; the smallest holds "
            f"256 bytes and {len(special_tokens)} special tokens"
        )
    if tie_break not in get_args(TieBreak):
        choices = " or ".join(map(repr, get_args(TieBreak)))
        raise ValueError(f"tie_break is {tie_break!r}; it can be {choices}")
