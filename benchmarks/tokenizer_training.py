"""Train with each library: the seconds and the merges, None where the library does not show them.

A library's own import belongs to its function: no other has its memory.
"""

import argparse
import json
from pathlib import Path

from tokenizer_corpus import SEPARATOR
from tokenizer_timing import GPT2_PATTERN, Timed, documents, measured


def train_ours(corpus: Path, options: argparse.Namespace) -> Timed:
    from bpe import train_bpe

    seconds, (_, merges) = measured(
        lambda: train_bpe(corpus, options.vocab_size, [SEPARATOR], workers=options.threads)
    )
    return seconds, merges


def train_ours_huggingface(corpus: Path, options: argparse.Namespace) -> Timed:
    from bpe import train_bpe

    seconds, (_, merges) = measured(
        lambda: train_bpe(
            corpus,
            options.vocab_size,
            [SEPARATOR],
            tie_break="huggingface",
            workers=options.threads,
        )
    )
    return seconds, merges


def train_gigatoken(corpus: Path, options: argparse.Namespace) -> Timed:
    import gigatoken

    source = gigatoken.TextFileSource([corpus], separator=SEPARATOR.encode())
    seconds, (_, merges) = measured(
        lambda: gigatoken.train_bpe(source, options.vocab_size, [SEPARATOR])
    )
    return seconds, merges


def train_rustbpe(corpus: Path, options: argparse.Namespace) -> Timed:
    import rustbpe

    tokenizer = rustbpe.Tokenizer()
    # It knows no special tokens: one id less is the same number of merges.
    seconds, _ = measured(
        lambda: tokenizer.train_from_iterator(
            documents(corpus), options.vocab_size - 1, pattern=GPT2_PATTERN
        )
    )
    return seconds, None


def train_tokenizers(corpus: Path, options: argparse.Namespace) -> Timed:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    seconds, _ = measured(lambda: tokenizer.train_from_iterator(documents(corpus), trainer))
    written = json.loads(tokenizer.to_str())["model"]["merges"]
    return seconds, [tuple(map(_bytes_of, merge)) for merge in written]


def _bytes_of(token: str) -> bytes:
    from bpe.byte_alphabet import parse_token

    return parse_token(token)


def count_ours(corpus: Path, options: argparse.Namespace) -> Timed:
    """Only the first half of training: count the pretokens."""
    from bpe.kernels.counting import count_pretokens
    from bpe.kernels.library import load

    load("training")
    seconds, _ = measured(lambda: count_pretokens([corpus], [SEPARATOR], workers=options.threads))
    return seconds, None
