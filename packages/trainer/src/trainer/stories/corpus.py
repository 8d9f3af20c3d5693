"""Make stories by number, and write a corpus of them whose entropy is known.

Story `index` of `seed` is a pure function of the two: the same on every machine, in any order. Its
random numbers are the output of SHAKE-128 on both, so that different seeds or index ranges give
independent draws from the grammar.

The floor of the loss on a corpus is its mean -log p per token: no model that predicts the next
token does better on average. p is the probability of a story under the grammar. The separator
after it costs nothing, since no story is the beginning of another (see `proof`), but it is a token,
so the floor per token is -log p(story) / tokens(story + separator). It holds for any tokenizer that
turns a text into one sequence of tokens. A model that meets a story in its middle, because a window
starts there, knows less than the grammar does, and its loss may stay above the floor.
"""

import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bpe.atomic_file import atomic_file
from trainer.stories.plots import GRAMMAR

_WORDS_PER_BLOCK = 64
_BLOCK = struct.Struct(f"<{_WORDS_PER_BLOCK}Q")


@dataclass(frozen=True, slots=True)
class Story:
    """A story with the natural logarithm of its probability under the grammar."""

    text: str
    log_probability: float


@dataclass(frozen=True, slots=True)
class StoryCorpus:
    """What `write_corpus` wrote: stories `first` to `first + num_stories - 1` of `seed`.

    `num_bytes` is the size of the file, separators included; `log_probability` is the total of all
    stories, in nats.
    """

    path: Path
    seed: int
    first: int
    num_stories: int
    num_bytes: int
    log_probability: float

    @property
    def nats_per_byte(self) -> float:
        """The entropy floor of the file: mean -log p per byte."""
        return -self.log_probability / self.num_bytes

    def nats_per_token(self, num_tokens: int) -> float:
        """Return the entropy floor of the file: mean -log p per token.

        `num_tokens` is the number of tokens of the whole file, separators included.
        """
        if num_tokens < 1:
            raise ValueError(f"num_tokens={num_tokens} is below 1")
        return -self.log_probability / num_tokens


def story(seed: int, index: int) -> Story:
    """Make story number `index` (0 or more) of `seed` (any integer)."""
    if index < 0:
        raise ValueError(f"story index {index} is negative")
    return Story(*GRAMMAR.write(_random_words(seed, index)))


def log_probability(text: str) -> float:
    """Return the natural logarithm of the probability of the story `text` under the grammar.

    Raises ValueError for a text that is not a story of the grammar.
    """
    found = list(GRAMMAR.derivations(text))
    if not found:
        raise ValueError(f"not a story of the grammar: {text[:60]!r}")
    (only,) = found
    return only


def write_corpus(
    path: Path,
    *,
    seed: int,
    num_bytes: int | None = None,
    num_stories: int | None = None,
    first: int = 0,
    separator: str = "<|endoftext|>",
) -> StoryCorpus:
    """Write stories `first`, `first + 1`, ... of `seed` to `path`, each followed by `separator`.

    Give either `num_stories`, or `num_bytes`: then the file ends with the first story that brings
    it to that size. The file is UTF-8 with bare line feeds (one blank line between paragraphs, none
    around the separator), and it takes its name only when it is whole. Corpora of one seed whose
    index ranges do not overlap are made of independently drawn stories.
    """
    if (num_bytes is None) == (num_stories is None):
        raise ValueError("write_corpus takes either num_bytes or num_stories")
    for name, value in (("num_bytes", num_bytes), ("num_stories", num_stories)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} is below 1")
    if first < 0:
        raise ValueError(f"first={first} is negative")
    written = 0
    log_probabilities: list[float] = []
    with atomic_file(path) as file:
        for index in count(first):
            told = story(seed, index)
            written += file.write((told.text + separator).encode())
            log_probabilities.append(told.log_probability)
            enough = written >= num_bytes if num_bytes else len(log_probabilities) == num_stories
            if enough:
                break
    return StoryCorpus(
        path, seed, first, len(log_probabilities), written, math.fsum(log_probabilities)
    )


def _random_words(seed: int, index: int) -> Iterator[int]:
    """Yield 64-bit integers that depend on `seed` and `index` alone."""
    for block in count():
        name = f"story {seed} {index} {block}".encode()
        yield from _BLOCK.unpack(hashlib.shake_128(name).digest(_BLOCK.size))
