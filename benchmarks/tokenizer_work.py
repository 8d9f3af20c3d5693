"""Do one piece of work with one tokenizer library, and print what it took as a line of JSON.

    python benchmarks/tokenizer_work.py train ours CORPUS --vocab-size 32000 --threads 2

`tokenizer.py` runs this in a fresh process for each measurement. Each library does the work in the
fastest way that its documentation shows. What is measured is the call alone, not the import and
not the making of a tokenizer from its file, but with all that the library puts off until its first
call. Peak memory is that of the whole process.
"""

import argparse
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SEPARATOR = "<|endoftext|>"
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def documents(corpus: Path) -> Iterator[str]:
    """Yield the documents of the corpus, in constant memory."""
    rest = ""
    with corpus.open(encoding="utf-8", newline="") as file:
        while piece := file.read(1 << 20):
            *whole, rest = (rest + piece).split(SEPARATOR)
            yield from whole
    if rest:
        yield rest


class Seconds(NamedTuple):
    """How long something took by the clock, and how much time of processors, all threads added."""

    wall: float
    cpu: float


Timed = tuple[Seconds, Any]


def measured(function: Callable[[], Any]) -> Timed:
    start, busy = time.perf_counter(), time.process_time()
    result = function()
    return Seconds(time.perf_counter() - start, time.process_time() - busy), result


# Training. Each returns the seconds and the merges, or None where the library does not show them.


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


def peak_memory() -> int:
    """Return the most memory that this process ever had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work")
    parser.add_argument("library")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--ids", type=Path)
    parser.add_argument("--out", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        options.out = Path(directory) / "ids.npy" if options.out else None
        seconds, result = globals()[f"{options.work}_{options.library}"](options.corpus, options)
        merges = hashlib.sha256(repr(result).encode()).hexdigest()[:12]
        found = merges if isinstance(result, list) else result
    print(json.dumps({**seconds._asdict(), "memory": peak_memory(), "result": found}))
    sys.stdout.flush()
    # Some libraries take seconds to give their memory back one object at a time.
    os._exit(0)


if __name__ == "__main__":
    main()
