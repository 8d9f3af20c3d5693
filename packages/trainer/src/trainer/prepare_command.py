"""The subcommand `trainer prepare`: a directory of tokens from the hub or from files."""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.config import DataConfig
from trainer.display import Display
from trainer.flags import parse
from trainer.hub import HUB_TEXTS, fetch
from trainer.prepare import prepare
from trainer.words import unknown_word

DESCRIPTION = """Make a directory of tokens that `train --data.tokens DIR` reads.

  trainer prepare tinystories           fetch TinyStories into data/tinystories
  trainer prepare owt                   fetch OpenWebText into data/owt
  trainer prepare --from-files FILE...  the same from text files, also .gz

Killed or cut off, the same command goes on where it was.
"""
# Where the hub's files are kept, below the cache.
DOWNLOADS = "downloads"
# Of the course's texts, the tokenizer learns from everything.
ALL = 1 << 60


@dataclass(frozen=True)
class PrepareFlags:
    """Flags of `trainer prepare`."""

    from_files: tuple[Path, ...] = ()
    """Text files in UTF-8; .gz and .zst are unpacked."""
    val_files: tuple[Path, ...] = ()
    """Text files to validate on; without them the end of the text is kept for that."""
    out: Path | None = None
    """Where the tokens go; by default a directory below --cache, which for files is named after
    their content."""
    vocab_size: int | None = None
    """Size of the vocabulary; 257 is bytes and one special token, without merges. By default 10000,
    for owt 32000."""
    special_token: str = "<|endoftext|>"
    """Separates documents; the files may contain it."""
    weights: tuple[float, ...] = ()
    """How often to draw from each file; the end of each is then kept for validation."""
    val_fraction: float = 0.1
    """Share of the bytes that is kept for validation."""
    cache: Path = Path("data")
    """Where downloads and directories of tokens are kept."""


def prepare_command(arguments: Sequence[str], *, prog: str) -> None:
    """Run `trainer prepare [tinystories|owt] [--flag value ...]`."""
    named = bool(arguments) and not arguments[0].startswith("-")
    name = arguments[0] if named else None
    if name is not None and name not in HUB_TEXTS:
        otherwise = f"there are {', '.join(HUB_TEXTS)}; text files are given by --from-files"
        raise ValueError(unknown_word("text", name, HUB_TEXTS, otherwise=otherwise))
    rest = arguments[1:] if named else arguments
    flags = parse(rest, PrepareFlags(), prog=f"{prog} [TEXT]", description=DESCRIPTION)
    if name is not None and (flags.from_files or flags.val_files):
        raise ValueError(f"{name!r} and --from-files exclude each other: give one of them")
    if name is None and not flags.from_files:
        raise ValueError(f"{prog} needs text: {', '.join(HUB_TEXTS)}, or --from-files FILE...")
    display = Display()
    data = DataConfig(
        corpus=flags.from_files,
        val_corpus=flags.val_files,
        vocab_size=flags.vocab_size or DataConfig.vocab_size,
        special_token=flags.special_token,
        weights=flags.weights,
        val_fraction=flags.val_fraction,
        cache=flags.cache,
    )
    if name is None:
        directory = prepare(data, display, out=flags.out)
    else:
        data = _fetch(name, data, flags.vocab_size, display)
        directory = prepare(data, display, out=flags.out or flags.cache / name)
    display.blank()
    preset = "" if name is None else f" {name}"
    weights = "".join(f" {weight:g}" for weight in flags.weights)
    display.command(
        f"uv run --package trainer train{preset} --data.tokens {shlex.quote(str(directory))}"
        + (f" --data.weights{weights}" if weights else ""),
        "train on it",
    )


def _fetch(name: str, data: DataConfig, vocab_size: int | None, display: Display) -> DataConfig:
    text = HUB_TEXTS[name]
    display.stage("Download", f"fetches {text.repository}, resumed and checked, once")
    train, valid = (
        fetch(text.repository, part, data.cache / DOWNLOADS, display)
        for part in (text.train, text.valid)
    )
    return dataclasses.replace(
        data,
        corpus=(train,),
        val_corpus=(valid,),
        vocab_size=vocab_size or text.vocab_size,
        tokenizer_bytes=ALL,
    )
