"""From raw text, or from the story grammar, to a directory of tokens.

The directory's name holds a hash of everything that decides its content, so it is made once and
found again by every later run. It is made under a temporary name and renamed at the end: what is
there is whole.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from bpe import Tokenizer, train_bpe
from bpe.training import TrainingProgress
from trainer import stories
from trainer.config import DataConfig
from trainer.corpus import corpus_size, first_bytes, join_files, split_tail, text_sha256
from trainer.display import Display
from trainer.prepared import DESCRIPTION, TOKENIZER, TRAIN, VALID
from trainer.run_directory import write_json

FORMAT = 1
TRAIN_TEXT, VALID_TEXT = "train.txt", "valid.txt"
# Two seeds, so that the validation stories are not those trained on.
TRAIN_SEED, VALID_SEED = 0, 1
# Of the stories, enough for the loss to be known to the third digit.
VALID_STORIES_SHARE = 0.03


def prepare(data: DataConfig, display: Display, *, out: Path | None = None) -> Path:
    """Return the directory of tokens for `data`, after making it if it is not there yet.

    It is `out`, which must not exist, or a directory below `data.cache` that later runs find again.
    Raises ValueError for text that cannot be used; nothing is left behind then.
    """
    if out is not None and out.exists():
        raise ValueError(f"{out} exists; give a new directory")
    name = re.sub(r"[^\w.-]+", "-", data.corpus[0].stem) if data.corpus else "stories"
    size = corpus_size([*data.corpus, *data.val_corpus])
    with display.progress("reading", size) as meter:
        key = _content_key(data, meter.advance)
    final = out or data.cache / f"{name}-{key}"
    if (final / DESCRIPTION).exists():
        display.stage("Data", f"made by an earlier run, taken from {final}")
        return final
    temporary = final.parent / f".{final.name}.{os.getpid()}.unfinished"
    temporary.mkdir(parents=True)
    try:
        _make(temporary, data, display)
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        # Another process may have made the same directory in the meantime.
        if not (final / DESCRIPTION).exists():
            raise
    return final


def _make(directory: Path, data: DataConfig, display: Display) -> None:
    train_text, valid_text = directory / TRAIN_TEXT, directory / VALID_TEXT
    entropy = None
    if data.corpus:
        _split_files(data, train_text, valid_text, display)
    else:
        entropy = _write_stories(data, train_text, valid_text, display)
    description = {
        "format": FORMAT,
        "source": [str(path) for path in data.corpus] or "story grammar",
        "train_bytes": train_text.stat().st_size,
        "valid_bytes": valid_text.stat().st_size,
        "valid_entropy_nats": entropy,
    }
    tokenizer = _train_tokenizer(data, train_text, display)
    tokenizer.save(directory / TOKENIZER)
    _encode(tokenizer, directory, display)
    if data.corpus:
        # The originals exist; the stories' text exists nowhere else.
        train_text.unlink()
        valid_text.unlink()
    write_json(directory / DESCRIPTION, description)


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
    if data.corpus:
        settings |= {
            "corpus": [text_sha256(path, progress) for path in data.corpus],
            "val_corpus": [text_sha256(path, progress) for path in data.val_corpus],
            "val_fraction": data.val_fraction,
            "val_bytes": [data.min_val_bytes, data.max_val_bytes],
        }
    else:
        settings |= {
            "stories_bytes": data.stories_bytes,
            "stories": [stories.story(TRAIN_SEED, index).text for index in range(20)],
        }
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]


def _split_files(data: DataConfig, train_text: Path, valid_text: Path, display: Display) -> None:
    names = ", ".join(path.name for path in data.corpus)
    separator = data.special_token.encode()
    size = corpus_size(data.corpus)
    display.stage("Text", f"reads {names} and keeps a part that the model never learns from")
    with display.progress("reading", size + corpus_size(data.val_corpus)) as meter:
        join_files(data.corpus, train_text, separator, progress=meter.advance)
        if data.val_corpus:
            join_files(data.val_corpus, valid_text, separator, progress=meter.advance)
        else:
            split_tail(train_text, valid_text, held_out_bytes(data, size), separator)
    sizes = train_text.stat().st_size, valid_text.stat().st_size
    if not all(sizes):
        raise ValueError(f"{names}: {size} bytes are too few to be split into two parts")
    display.detail(f"{human_size(sizes[0])} to learn from, {human_size(sizes[1])} held out")


def _write_stories(data: DataConfig, train_text: Path, valid_text: Path, display: Display) -> float:
    display.stage("Text", "writes little stories by a grammar, which knows how likely each one is")
    separator = data.special_token
    with display.progress("writing"):
        train = stories.write_corpus(
            train_text, seed=TRAIN_SEED, num_bytes=data.stories_bytes, separator=separator
        )
        valid = stories.write_corpus(
            valid_text,
            seed=VALID_SEED,
            num_bytes=round(data.stories_bytes * VALID_STORIES_SHARE),
            separator=separator,
        )
    display.detail(
        f"{train.num_stories:,} stories, {human_size(train.num_bytes)}, and "
        f"{valid.num_stories:,} others to validate on"
    )
    display.sample("story 1", stories.story(TRAIN_SEED, 0).text)
    return -valid.log_probability


def held_out_bytes(data: DataConfig, size: int) -> int:
    """Return about how many of the last bytes of a text are kept for validation."""
    wanted = max(round(size * data.val_fraction), data.min_val_bytes)
    return min(wanted, data.max_val_bytes, size // 2)


def _train_tokenizer(data: DataConfig, train_text: Path, display: Display) -> Tokenizer:
    display.stage(
        "Tokenizer", "finds the pieces of text that come most often; each becomes one token"
    )
    text = first_bytes(train_text, train_text.with_name("part.txt"), data.tokenizer_bytes)
    with display.progress("counting", None) as meter:
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
    display.detail(f"{len(vocab):,} tokens, the longest: {shown}")
    return Tokenizer(vocab, merges, [data.special_token])


def _encode(tokenizer: Tokenizer, directory: Path, display: Display) -> None:
    display.stage("Tokens", "writes the text as numbers, once; training then reads them in place")
    for text, tokens in ((TRAIN_TEXT, TRAIN), (VALID_TEXT, VALID)):
        size = (directory / text).stat().st_size
        with display.progress("encoding", size) as meter:
            found = tokenizer.encode_file(
                directory / text, directory / tokens, progress=meter.update_share
            )
        purpose = "learn from" if tokens == TRAIN else "validate on"
        display.detail(
            f"{found.num_tokens:,} tokens to {purpose}, {size / found.num_tokens:.2f} bytes each"
        )


def human_size(size: float) -> str:
    """Return bytes as people write them: 8.1 MB."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
