"""Count the pretokens of files, by the engine that is done first, or on a Ray cluster."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bpe import counting
from bpe.byte_stream import likely_size, stored_size
from bpe.counting import CHUNK_BYTES
from bpe.engines import TrainingEngine, choose_engine
from bpe.patterns import compile_pattern
from bpe.pretoken_counts import PretokenCounts, StrPath
from bpe.streaming import check_errors
from bpe.vocabulary import check_special_texts

if TYPE_CHECKING:
    from bpe.kernels.counting import KernelCounts


def count_pretokens(
    input_path: StrPath | Sequence[StrPath],
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    workers: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    errors: Literal["strict", "replace"] = "strict",
    column: str = "text",
    engine: TrainingEngine = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> PretokenCounts:
    """Count the pretokens of one file or several, for `train_bpe_from_counts`.

    The arguments and errors are those of `train_bpe`; `progress` is called with the bytes read and
    the bytes in all. Counts can be saved, moved, and added up: `PretokenCounts.save` and `load`.
    """
    paths = as_paths(input_path)
    check_counting(special_tokens, pattern, workers, chunk_bytes, errors)
    num_bytes = sum(map(stored_size, paths))
    found = count_files(
        paths,
        special_tokens,
        engine=engine,
        # A pipe has no size.
        on_read=None if progress is None else lambda done: progress(done, max(num_bytes, done)),
        **{"pattern": pattern, "workers": workers, "chunk_bytes": chunk_bytes},
        **{"errors": errors, "column": column},
    )
    if isinstance(found, PretokenCounts):
        return found
    return PretokenCounts(
        counts={pretoken.decode(): count for pretoken, count in found.counts.items()},
        num_bytes=found.num_bytes,
        num_replacements=found.num_replacements,
        special_tokens=tuple(special_tokens),
        pattern=pattern,
        errors=errors,
    )


def count_files(
    paths: Sequence[StrPath],
    special_tokens: Sequence[str],
    *,
    engine: TrainingEngine,
    **options: Any,
) -> "PretokenCounts | KernelCounts":
    """Count by the engine for so many bytes; `options` go to its `count_pretokens`."""
    if engine == "ray":
        from bpe import ray_counting

        return ray_counting.count_pretokens(paths, special_tokens, **options)
    if choose_engine(engine, sum(map(likely_size, paths))) == "reference":
        return counting.count_pretokens(paths, special_tokens, **options)
    # Imported here: the reference has no use for them.
    from bpe.kernels import counting as kernel_counting

    return kernel_counting.count_pretokens(paths, special_tokens, **options)


def as_paths(input_path: StrPath | Sequence[StrPath]) -> list[StrPath]:
    """Return one path or several as a list. Raises ValueError if there is none."""
    if isinstance(input_path, (str, os.PathLike)):
        return [input_path]
    if not input_path:
        raise ValueError("input_path is empty; give at least one file")
    return list(input_path)


def check_counting(
    special_tokens: Sequence[str],
    pattern: str,
    workers: int | None,
    chunk_bytes: int,
    errors: str,
) -> None:
    """Raise ValueError for arguments that cannot be."""
    check_special_texts(special_tokens)
    compile_pattern(pattern)
    check_errors(errors)
    for name, number in [("workers", workers), ("chunk_bytes", chunk_bytes)]:
        if number is not None and number < 1:
            raise ValueError(f"{name}={number} must be at least 1")
