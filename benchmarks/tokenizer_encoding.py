"""Encode and decode with each library: the seconds and the number of ids, or a hash of the text.

A library's own import belongs to its function: no other has its memory.
"""

import argparse
import hashlib
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from tokenizer_corpus import SEPARATOR
from tokenizer_timing import GPT2_PATTERN, Seconds, Timed, documents, measured

# Encoding. `--out` asks for a .npy file of uint16, without it the ids stay in memory.


def encode_ours(corpus: Path, options: argparse.Namespace) -> Timed:
    from bpe import Tokenizer

    tokenizer = Tokenizer.load(options.tokenizer)
    if options.out:
        return measured(
            lambda: tokenizer.encode_file(corpus, options.out, workers=options.threads).num_tokens
        )

    def encode() -> int:
        with corpus.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
            return len(tokenizer.encode_array(text, workers=options.threads))

    return measured(encode)


def encode_gigatoken(corpus: Path, options: argparse.Namespace) -> Timed:
    import awkward
    import gigatoken

    tokenizer = gigatoken.Tokenizer(options.tokenizer / "tokenizer.json")
    source = gigatoken.TextFileSource([corpus], separator=SEPARATOR.encode())

    def encode() -> int:
        ids = awkward.flatten(tokenizer.encode_files(source, parallel=options.threads > 1))
        return _keep(awkward.to_numpy(ids), options.out)

    return measured(encode)


def encode_tiktoken(corpus: Path, options: argparse.Namespace) -> Timed:
    encoding = _tiktoken(options.tokenizer)

    def encode() -> int:
        texts = list(documents(corpus))
        return _keep_lists(
            encoding.encode_ordinary_batch(texts, num_threads=options.threads), options.out
        )

    return measured(encode)


def encode_tokenizers(corpus: Path, options: argparse.Namespace) -> Timed:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))

    def encode() -> int:
        texts = list(documents(corpus))
        found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return _keep_lists([encoded.ids for encoded in found], options.out)

    return measured(encode)


def _keep_lists(lists: list[list[int]], out: Path | None) -> int:
    if out is None:
        return sum(map(len, lists))
    return _keep(np.concatenate([np.array(ids, np.uint16) for ids in lists]), out)


def _keep(ids: Any, out: Path | None) -> int:
    if out is not None:
        np.save(out, ids.astype(np.uint16))
    return len(ids)


def _tiktoken(directory: Path) -> Any:
    import tiktoken

    from bpe import Tokenizer

    tokenizer = Tokenizer.load(directory)
    ranks = {token: token_id for token_id, token in tokenizer.vocab.items()}
    specials = tokenizer.special_tokens
    for text in specials:
        del ranks[text.encode()]
    return tiktoken.Encoding(
        "ours", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens=specials
    )


# Documents, given one by one in a list, to a list of ids for each.


def batch_ours(corpus: Path, options: argparse.Namespace) -> Timed:
    from bpe import Tokenizer

    encode = Tokenizer.load(options.tokenizer).encode_batch
    return _whole_batch(lambda texts: encode(texts, workers=options.threads), corpus)


def batch_gigatoken(corpus: Path, options: argparse.Namespace) -> Timed:
    import gigatoken

    tokenizer = gigatoken.Tokenizer(options.tokenizer / "tokenizer.json")
    parallel = options.threads > 1
    return _whole_batch(lambda texts: tokenizer.encode_batch_list(texts, parallel=parallel), corpus)


def batch_tiktoken(corpus: Path, options: argparse.Namespace) -> Timed:
    encode = _tiktoken(options.tokenizer).encode_ordinary_batch
    return _whole_batch(lambda texts: encode(texts, num_threads=options.threads), corpus)


def batch_tokenizers(corpus: Path, options: argparse.Namespace) -> Timed:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    return _whole_batch(
        lambda texts: [
            encoded.ids for encoded in tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ],
        corpus,
    )


def _whole_batch(encode: Callable[[list[str]], list[list[int]]], corpus: Path) -> Timed:
    texts = list(documents(corpus))
    seconds, lists = measured(lambda: encode(texts))
    return seconds, sum(map(len, lists))


# One document of about 1 KB in a loop; seconds for one.


def document_ours(corpus: Path, options: argparse.Namespace) -> Timed:
    from bpe import Tokenizer

    return _in_a_loop(Tokenizer.load(options.tokenizer).encode, corpus)


def document_gigatoken(corpus: Path, options: argparse.Namespace) -> Timed:
    import gigatoken

    return _in_a_loop(gigatoken.Tokenizer(options.tokenizer / "tokenizer.json").encode, corpus)


def document_tiktoken(corpus: Path, options: argparse.Namespace) -> Timed:
    return _in_a_loop(_tiktoken(options.tokenizer).encode_ordinary, corpus)


def document_tokenizers(corpus: Path, options: argparse.Namespace) -> Timed:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    return _in_a_loop(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, corpus)


def _in_a_loop(encode: Callable[[str], Any], corpus: Path) -> Timed:
    text = next(text for text in documents(corpus) if len(text) > 2048)[:1024]
    for _ in range(3000):
        ids = encode(text)
    times = []
    for _ in range(7):
        seconds, _ = measured(lambda: [encode(text) for _ in range(500)])
        times.append(Seconds(seconds.wall / 500, seconds.cpu / 500))
    return sorted(times)[3], len(ids)


# Ten million ids to bytes.


def decode_ours(corpus: Path, options: argparse.Namespace) -> Timed:
    from bpe import Tokenizer

    tokenizer = Tokenizer.load(options.tokenizer)
    return _decode(tokenizer.decode_bytes, np.load(options.ids))


def decode_gigatoken(corpus: Path, options: argparse.Namespace) -> Timed:
    import gigatoken

    tokenizer = gigatoken.Tokenizer(options.tokenizer / "tokenizer.json")
    return _decode(tokenizer.decode, np.load(options.ids).astype(np.uint32))


def decode_tiktoken(corpus: Path, options: argparse.Namespace) -> Timed:
    return _decode(_tiktoken(options.tokenizer).decode_bytes, np.load(options.ids).tolist())


def _decode(decode: Callable[[Any], bytes], ids: Any) -> Timed:
    seconds, data = measured(lambda: decode(ids))
    return seconds, hashlib.sha256(data).hexdigest()[:12]
