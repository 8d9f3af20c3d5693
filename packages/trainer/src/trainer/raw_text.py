"""The first stage of `prepare`: one text to learn from and one to validate on.

They come from files, or from the story grammar.
"""

import time
from pathlib import Path

from trainer import stories
from trainer.config import DataConfig
from trainer.corpus import corpus_size, join_files, split_tail
from trainer.display import Display, Meter
from trainer.stages import Facts

# Two seeds, so that the validation stories are not those trained on.
TRAIN_SEED, VALID_SEED = 0, 1
# Of the stories, enough for the loss to be known to the third digit.
VALID_STORIES_SHARE = 0.03


def write_files(data: DataConfig, train_text: Path, valid_text: Path, display: Display) -> Facts:
    """Join the files of `data`, unpacked, and split off what is to validate on.

    The facts are `description`, what data.json says, and `ends`, where each file's part ends in
    `train_text`.
    """
    names = ", ".join(path.name for path in data.corpus)
    display.stage("Text", f"reads {names} and keeps a part that the model never learns from")
    begun = time.perf_counter()
    size = corpus_size(data.corpus) + corpus_size(data.val_corpus)
    with display.progress("reading", size) as meter:
        if data.weights and not data.val_corpus:
            ends = _split_each(data, train_text, valid_text, meter)
        else:
            ends = _split_all(data, train_text, valid_text, meter)
    sizes = train_text.stat().st_size, valid_text.stat().st_size
    if not all(sizes):
        raise ValueError(f"{names}: {sum(sizes)} bytes are too few to be split into two parts")
    seconds = time.perf_counter() - begun
    took = f"; {seconds:.1f} s" if seconds >= 1 else ""
    display.detail(f"{human_size(sizes[0])} to learn from, {human_size(sizes[1])} held out{took}")
    description = _description([str(path) for path in data.corpus], *sizes, None)
    return {"description": description, "ends": ends}


def _split_all(data: DataConfig, train_text: Path, valid_text: Path, meter: Meter) -> list[int]:
    separator = data.special_token.encode()
    ends = join_files(data.corpus, train_text, separator, progress=meter.advance)
    if data.val_corpus:
        join_files(data.val_corpus, valid_text, separator, progress=meter.advance)
    else:
        split_tail(train_text, valid_text, held_out_bytes(data, ends[-1]), separator)
    size = train_text.stat().st_size
    return [min(end, size) for end in ends]


def _split_each(data: DataConfig, train_text: Path, valid_text: Path, meter: Meter) -> list[int]:
    separator = data.special_token.encode()
    heads, tails = [], []
    for number, file in enumerate(data.corpus):
        head, tail = (train_text.with_name(f"{part}-{number}.txt") for part in ("head", "tail"))
        (size,) = join_files([file], head, separator, progress=meter.advance)
        split_tail(head, tail, held_out_bytes(data, size, files=len(data.corpus)), separator)
        heads.append(head)
        tails.append(tail)
    join_files(tails, valid_text, separator, progress=lambda _: None)
    ends = join_files(heads, train_text, separator, progress=lambda _: None)
    for part in (*heads, *tails):
        part.unlink()
    return ends


def write_stories(data: DataConfig, train_text: Path, valid_text: Path, display: Display) -> Facts:
    """Write stories by the grammar; the facts are as those of `write_files`."""
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
    sizes = train_text.stat().st_size, valid_text.stat().st_size
    description = _description("story grammar", *sizes, -valid.log_probability)
    return {"description": description, "ends": [sizes[0]]}


def _description(
    source: str | list[str], train_bytes: int, valid_bytes: int, entropy: float | None
) -> Facts:
    return {
        "source": source,
        "train_bytes": train_bytes,
        "valid_bytes": valid_bytes,
        "valid_entropy_nats": entropy,
    }


def held_out_bytes(data: DataConfig, size: int, *, files: int = 1) -> int:
    """Return about how many of the last bytes of a text are kept for validation.

    The text is one of so many files, each of which gives its share.
    """
    wanted = max(round(size * data.val_fraction), data.min_val_bytes // files)
    return min(wanted, data.max_val_bytes // files, size // 2)


def human_size(size: float) -> str:
    """Return bytes as people write them: 8.1 MB."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
