"""`bpe count`: count pretokens of a part of a corpus, for `bpe train --from-counts`."""

import shlex
import time

from rich.console import Console

from bpe.arguments import Column, Errors, Files, OutCounts, SpecialTokens, Workers, as_source
from bpe.atomic_file import check_can_write
from bpe.count_files import count_pretokens
from bpe.engines import TrainingEngine
from bpe.facts import memory_fact, plural
from bpe.terminal import Display, print_facts


def count(
    files: Files,
    /,
    *,
    out: OutCounts,
    special_tokens: SpecialTokens = (),
    pattern: str = "gpt2",
    errors: Errors = "strict",
    column: Column = "text",
    workers: Workers = None,
    engine: TrainingEngine = "auto",
) -> None:
    """Count what bpe train would learn from; parts can be counted on many machines.

    Example: bpe count shard1.txt.gz --out part1.npz

    Args:
        files: What bpe train takes: text, .jsonl, .parquet, packed or not, here, at a URL or
            plain from standard input (-).
        out: Where to write the counts, as an .npz file.
        special_tokens: A text that is always one token of its own. Repeat for more.
        pattern: How text is cut: gpt2, cl100k, llama3, o200k or a regular expression.
        errors: What to do about bytes that are not UTF-8: stop, or read them as U+FFFD.
        column: Where .jsonl and .parquet files hold the text.
        workers: How many count at once; by default as many as help. The result is the same.
        engine: As for bpe train. The result is the same.
    """
    start = time.perf_counter()
    if not files:
        raise ValueError("no files to count; give at least one, as in: bpe count book.txt ...")
    check_can_write(out)
    with Display(Console(stderr=True)) as display:
        found = count_pretokens(
            [*map(as_source, files)],
            special_tokens,
            pattern=pattern,
            workers=workers,
            errors=errors,
            column=column,
            engine=engine,
            progress=lambda done, total: display.update("counting", done, total, "bytes"),
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    found.save(out)
    print_facts(
        {
            "counts": str(out),
            "pretokens": f"{len(found.counts):,} distinct of {sum(found.counts.values()):,}",
            "text": f"{found.num_bytes:,} bytes in {plural(len(files), 'file')}",
            "time": f"{time.perf_counter() - start:,.1f} s",
            **memory_fact(),
            "next": f"bpe train --from-counts {shlex.quote(str(out))} --vocab-size N --out DIR",
        }
    )
