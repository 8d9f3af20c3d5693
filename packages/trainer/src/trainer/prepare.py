"""From raw text, or from the story grammar, to a directory of tokens.

The directory's name holds a hash of everything that decides its content, so it is made once and
found again by every later run. It is made in stages under a temporary name and renamed at the end:
what is there is whole. Killed or out of disk, the same call goes on after the last finished stage,
to the same bytes.
"""

import errno
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bpe import Tokenizer, train_bpe
from bpe.token_file import read_token_file
from bpe.training import TrainingProgress
from trainer import stories
from trainer.config import DataConfig
from trainer.corpus import corpus_size, count_marks, first_bytes, text_sha256
from trainer.disk import NO_SPACE, NoSpaceError
from trainer.display import Display
from trainer.mixture import part_sizes
from trainer.prepared import DESCRIPTION, TOKENIZER, TRAIN, VALID
from trainer.raw_text import TRAIN_SEED, human_size, write_files, write_stories
from trainer.remembered import remembered
from trainer.run_directory import read_json, write_json
from trainer.stages import RECORD, Facts, Stages, delete, exclusive

FORMAT = 1
TEXT, TRAIN_TEXT, VALID_TEXT, PART_TEXT = "text", "train.txt", "valid.txt", "part.txt"
# Below the cache: the hashes of large corpora.
HASHES = "hashes.json"


def prepare(data: DataConfig, display: Display, *, out: Path | None = None) -> Path:
    """Return the directory of tokens for `data`, after making it if it is not there yet.

    It is `out`, or a directory below `data.cache`; later calls find it again. Raises ValueError for
    text that cannot be used, and nothing is left behind then; OSError for a full disk, after which
    the finished stages stay for the next call.
    """
    if out is not None and out.exists() and not (out / DESCRIPTION).exists():
        raise ValueError(f"{out} exists; give a new directory")
    name = re.sub(r"[^\w.-]+", "-", data.corpus[0].stem) if data.corpus else "stories"
    size = corpus_size([*data.corpus, *data.val_corpus])
    with display.progress("reading", size) as meter:
        key = _content_key(data, meter.advance)
    final = out or data.cache / f"{name}-{key}"
    work = final.parent / f".{final.name}.unfinished"
    waiting = "waits for another process that is making the same"
    while not _is_made(final, key):
        with exclusive(work, lambda: display.detail(waiting)) as still_there:
            if still_there:
                _make(work, final, key, data, display)
                return final
    display.stage("Data", f"made by an earlier run, taken from {final}")
    return final


def _is_made(final: Path, key: str) -> bool:
    if not (final / DESCRIPTION).exists():
        return False
    # A directory that is named by its key may be older than the writing of keys.
    if read_json(final / DESCRIPTION).get("key", key) != key:
        raise ValueError(
            f"{final} exists, made from other text or with other settings; give a new directory"
        )
    # A kill may have come between the renaming and the removal.
    (final / RECORD).unlink(missing_ok=True)
    return True


def _make(work: Path, final: Path, key: str, data: DataConfig, display: Display) -> None:
    stages = Stages(work, key)
    if stages.finished:
        display.detail(f"goes on where an earlier call ended; kept: {', '.join(stages.finished)}")
    try:
        with _disk_errors(work):
            facts = _run_stages(stages, work, data, display)
            # The originals exist; the stories' text exists nowhere else.
            for text in (TRAIN_TEXT, VALID_TEXT) if data.corpus else ():
                (work / text).unlink(missing_ok=True)
            write_json(work / DESCRIPTION, {"format": FORMAT, "key": key, **facts})
            work.rename(final)
            (final / RECORD).unlink()
    except ValueError:
        # Text or settings are wrong, and would be so the next time.
        delete(work)
        raise
    except BaseException:
        if work.exists():
            stages.discard_unfinished()
            if not stages.finished:
                delete(work)
        raise


def _run_stages(stages: Stages, work: Path, data: DataConfig, display: Display) -> Facts:
    write = write_files if data.corpus else write_stories
    texts = work / TRAIN_TEXT, work / VALID_TEXT
    text = stages.run(TEXT, [TRAIN_TEXT, VALID_TEXT], partial(write, data, *texts, display))
    stages.run(TOKENIZER, [TOKENIZER], partial(_train_tokenizer, data, work, display))
    encode = partial(_encode, data, work, text["ends"], display)
    display.stage("Tokens", "writes the text as numbers, once; training then reads them in place")
    train = stages.run(TRAIN, [TRAIN, f"{TRAIN}.json"], partial(encode, TRAIN_TEXT, TRAIN))
    stages.run(VALID, [VALID, f"{VALID}.json"], partial(encode, VALID_TEXT, VALID))
    return {**text["description"], **train}


def _content_key(data: DataConfig, progress: Callable[[int], object]) -> str:
    """Hash what decides the tokens: the settings, and the files' bytes or the grammar's words.

    Reading the files for this is also what finds a byte that is not UTF-8, before anything is made.
    """
    settings: dict[str, object] = {
        "format": FORMAT,
        "vocab_size": data.vocab_size,
        "special_token": data.special_token,
        "tokenizer_bytes": data.tokenizer_bytes,
    }

    def content(path: Path) -> str:
        return remembered(data.cache / HASHES, path, "text", lambda: text_sha256(path, progress))

    if data.corpus:
        settings |= {
            "corpus": [content(path) for path in data.corpus],
            "val_corpus": [content(path) for path in data.val_corpus],
            "val_fraction": data.val_fraction,
            "val_bytes": [data.min_val_bytes, data.max_val_bytes],
        }
        if data.weights:
            settings["val_from"] = "each file"
    else:
        settings |= {
            "stories_bytes": data.stories_bytes,
            "stories": [stories.story(TRAIN_SEED, index).text for index in range(20)],
        }
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]


def _train_tokenizer(data: DataConfig, work: Path, display: Display) -> Facts:
    finds = "finds the pieces of text that come most often; each becomes one token"
    only_bytes = data.vocab_size == 256 + 1
    display.stage("Tokenizer", "makes each byte one token" if only_bytes else finds)
    begun = time.perf_counter()
    train_text = work / TRAIN_TEXT
    with display.progress("counting", None) as meter:
        text = first_bytes(train_text, work / PART_TEXT, data.tokenizer_bytes)
        phase = ""

        def show(progress: TrainingProgress) -> None:
            nonlocal phase
            if progress.phase != phase:
                phase = progress.phase
                meter.phase("counting" if phase == "count" else "merging", progress.total)
            meter.update(progress.done, progress.token.decode("utf-8", "replace").strip())

        vocab, merges = train_bpe(text, data.vocab_size, [data.special_token], progress=show)
    if text != train_text:
        text.unlink()
    if len(vocab) < data.vocab_size:
        display.detail(f"stopped at {len(vocab):,} tokens: no pair of pieces is left to join")
    longest = sorted({vocab[id_] for id_ in vocab} - {data.special_token.encode()}, key=len)[-6:]
    shown = " ".join(repr(token.decode("utf-8", "replace")) for token in reversed(longest))
    shown = f"the bytes and {data.special_token}" if only_bytes else f"the longest: {shown}"
    display.detail(f"{len(vocab):,} tokens, {shown}{_took(begun)}")
    Tokenizer(vocab, merges, [data.special_token]).save(work / TOKENIZER)
    return {}


def _encode(
    data: DataConfig,
    work: Path,
    ends: Sequence[int],
    display: Display,
    text_name: str,
    tokens_name: str,
) -> Facts:
    begun = time.perf_counter()
    tokenizer = Tokenizer.load(work / TOKENIZER)
    text, tokens = work / text_name, work / tokens_name
    size = text.stat().st_size
    with display.progress("encoding", size) as meter:
        found = tokenizer.encode_file(text, tokens, progress=meter.update_share)
    purpose = "learn from" if tokens_name == TRAIN else "validate on"
    display.detail(
        f"{found.num_tokens:,} tokens to {purpose}, {size / found.num_tokens:.2f} bytes each, "
        f"{human_size(tokens.stat().st_size)}{_took(begun)}"
    )
    if tokens_name != TRAIN or not data.corpus:
        return {}
    separator = tokenizer.special_tokens[data.special_token]
    marks = count_marks(text, data.special_token.encode(), ends)
    sizes = part_sizes(read_token_file(tokens, verify=False)[0], separator, marks)
    names = [path.name for path in data.corpus]
    return {"sources": [{"file": f, "tokens": n} for f, n in zip(names, sizes, strict=True)]}


def _took(begun: float) -> str:
    seconds = time.perf_counter() - begun
    return f"; {seconds:.1f} s" if seconds >= 1 else ""


@contextmanager
def _disk_errors(work: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        free = human_size(shutil.disk_usage(work.parent).free)
        raise NoSpaceError(
            errno.ENOSPC,
            f"{error.strerror}: {free} are free where {work.parent} is; the finished stages are "
            f"kept, and the same command goes on when there is room",
        ) from error
