"""What the tests of bpe share: a corpus, texts to try, naive merging, the libraries to match."""

import random
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import tiktoken
import tokenizers
from hypothesis import strategies as st

from bpe.patterns import PATTERNS
from bpe.tokenizer import Tokenizer

SPECIALS = ["<|endoftext|>", "<|endoftext|><|endoftext|>", "<|pad|>"]

_WORDS = """the of and to in a is that for it as was with be by on not he his but at are this have
from or had an they which one you were her all she there would their we him been has when who will
more no if out so said what up its about into than them can only other new some could time these
two may then do first any my now such like our over man me even most made after also did many
before must through years where much your way well down should because each just those people how
too little state good very make world still own see men work long get here between both life being
under never day same another know while last might us great old year off come since against go came
right used take three don't I'm we'll they've it's naïve café Straße über señor Ελλάδα Москва мир
東京 日本語 你好 世界 שלום مرحبا 😀 👩‍👩‍👧 1,024 2026 3.14
x=1; def return self.value() != None //"""
_SPACES = [" "] * 40 + ["\n", "\n\n", "  ", "\t", " \n", "\r\n", "    ", ". ", ", ", '" "']


def make_corpus(num_words: int = 20_000) -> str:
    """Return text of many scripts in which a few hundred merges are worth learning."""
    source = random.Random(7)
    choice = _WORDS.split()
    weights = [1 / (rank + 3) for rank in range(len(choice))]
    words = source.choices(choice, weights, k=num_words)
    spaces = source.choices(_SPACES, k=num_words)
    return "".join(word + space for word, space in zip(words, spaces, strict=True))


_FRAGMENTS = [
    *["'s", "'ll", "'LL", "'Ve", "'", "don't", " ", "  ", "\n", "\r\n", "\t ", " \n ", "\u3000"],
    *["the", " the", "The", "THE", "ABCdef", "1", "12345", " 67", "!?", "...", "/", "_x"],
    *["é", "e\u0301", "\u0301", "東京", "ǅ", "ʰ", "ſ", "😀", "👩‍👧", "\u200d", "\x00", "\ufeff"],
    *["\u2028", "\x85", "\x1c", "<", "<|", "<|endoftext", "|>", "endoftext|>"],
]
# Code points without a category may be letters in the tables of one library and not of another.
_CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"])


def texts(extra: Sequence[str] = (), max_fragments: int = 30) -> st.SearchStrategy[str]:
    """Texts of the pieces that patterns care about, `extra`, and any assigned characters."""
    fragments = st.sampled_from([*_FRAGMENTS, *extra])
    return st.lists(fragments | _CHARACTERS, max_size=max_fragments).map("".join)


def random_text(source: random.Random, extra: Sequence[str] = ()) -> str:
    """Return one of `texts`, drawn faster than hypothesis draws, and never shrunk."""
    fragments = [*_FRAGMENTS, *extra]
    parts = source.choices(fragments, k=source.randrange(23))
    for _ in range(source.randrange(5)):
        letter = chr(source.choice((source.randrange(0x2000), source.randrange(0x110000))))
        if unicodedata.category(letter) not in ("Cs", "Cn"):
            parts.insert(source.randrange(len(parts) + 1), letter)
    return "".join(parts)


def chunkings(text: str) -> st.SearchStrategy[list[str]]:
    """All the ways to cut `text` into strings, empty ones included."""
    cuts = st.lists(st.integers(0, len(text)), max_size=2 * len(text) + 2).map(sorted)
    return cuts.map(lambda at: [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)])


def naive_merge(data: bytes, merges: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Join the pair whose merge is listed first, leftmost first, until none is left."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    parts = [bytes([byte]) for byte in data]
    while True:
        ranked = [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not ranked:
            return parts
        _, at = min(ranked)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def tiktoken_of(tokenizer: Tokenizer) -> tiktoken.Encoding:
    """Build tiktoken's encoder from our vocabulary."""
    specials = tokenizer.special_tokens
    return tiktoken.Encoding(
        "ours",
        pat_str=PATTERNS.get(tokenizer.pattern, tokenizer.pattern),
        mergeable_ranks={b: i for i, b in tokenizer.vocab.items() if i not in specials.values()},
        special_tokens=specials,
    )


def tokenizers_of(tokenizer: Tokenizer, directory: Path) -> tokenizers.Tokenizer:
    """Build the tokenizers library's encoder from the file that we write for it."""
    path = directory / "tokenizer.json"
    tokenizer.to_huggingface(path)
    return tokenizers.Tokenizer.from_file(str(path))
