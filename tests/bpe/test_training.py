"""A trained vocabulary is that of the tokenizers library, and nothing but the text decides it."""

import argparse
import hashlib
import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from bpe import TrainingProgress, train_bpe

SPECIALS = ["<|endoftext|>", "<|pad|>"]
Merges = list[tuple[bytes, bytes]]


def source_code() -> str:
    return Path(argparse.__file__).read_text(encoding="utf-8")


def words_of_many_scripts() -> str:
    rng = random.Random(7)
    scripts = [(0x61, 0x7A), (0x3B1, 0x3C9), (0x430, 0x44F), (0x4E00, 0x4E40), (0x1F600, 0x1F610)]
    words = []
    for _ in range(4001):
        first, last = rng.choice(scripts)
        words.append("".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 7))))
    return " ".join(words)


def runs_and_numbers() -> str:
    rng = random.Random(11)
    units = ["a", "=", " ", "\n", "0", "ab", "it's "]
    return "".join(rng.choice(units) * rng.randint(1, 13) for _ in range(3001))


CORPORA = [source_code, words_of_many_scripts, runs_and_numbers]


def train_text(
    tmp_path: Path, text: str, vocab_size: int, **options: object
) -> tuple[dict[int, bytes], Merges]:
    path = tmp_path / "corpus.txt"
    path.write_bytes(text.encode())
    return train_bpe(path, vocab_size, SPECIALS, **options)  # type: ignore[arg-type]


def huggingface_merges(documents: list[str], vocab_size: int) -> Merges:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIALS,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    # Of the characters that stand for the 256 bytes, those below 256 stand for themselves and the
    # rest, in order, for the bytes that are left.
    chars = sorted(alphabet)
    left = [byte for byte in range(256) if chr(byte) not in alphabet]
    byte_of = {char: ord(char) if ord(char) < 256 else left.pop(0) for char in chars}
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [
        (bytes(byte_of[char] for char in first), bytes(byte_of[char] for char in second))
        for first, second in merges
    ]


@pytest.mark.parametrize("corpus", CORPORA)
def test_merges_equal_those_of_the_tokenizers_library(corpus: object, tmp_path: Path) -> None:
    text = corpus()  # type: ignore[operator]
    _, merges = train_text(tmp_path, text, 1009, tie_break="huggingface")
    assert merges == huggingface_merges([text], 1009)
    assert len(merges) > 400


def test_merges_equal_those_of_the_tokenizers_library_between_specials(tmp_path: Path) -> None:
    documents = source_code().split("\n\n")
    text = "<|endoftext|>".join(documents)
    _, merges = train_text(tmp_path, text, 509, tie_break="huggingface")
    assert merges == huggingface_merges(documents, 509)


def test_ids_are_specials_then_bytes_then_merges(tmp_path: Path) -> None:
    vocab, merges = train_text(tmp_path, source_code(), 307)
    assert [vocab[index] for index in range(307)] == [
        *(special.encode() for special in SPECIALS),
        *(bytes([byte]) for byte in range(256)),
        *(left + right for left, right in merges),
    ]


def test_smallest_vocabulary_is_bytes_and_specials(tmp_path: Path) -> None:
    vocab, merges = train_text(tmp_path, "some text", 258)
    assert (len(vocab), merges) == (258, [])


def test_specials_are_cut_out_before_anything_is_counted(tmp_path: Path) -> None:
    _, merges = train_text(tmp_path, "ab<|endoftext|>cd" * 3 + "<|endoftext|>" * 101, 269)
    assert {left + right for left, right in merges} == {b"ab", b"cd", b"cda", b"cdab"} & {
        left + right for left, right in merges
    }


@given(text=st.text(), vocab_size=st.integers(258, 331))
def test_any_text_trains(
    text: str, vocab_size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vocab, merges = train_text(tmp_path_factory.mktemp("any"), text or "-", vocab_size)
    assert len(vocab) == 258 + len(merges) <= vocab_size


def test_several_files_train_as_their_texts_apart(tmp_path: Path) -> None:
    halves = [tmp_path / "first.txt", tmp_path / "second.txt"]
    half = len(source_code()) // 2
    halves[0].write_text(source_code()[:half])
    halves[1].write_text(source_code()[half:])
    joined = source_code()[:half] + "<|endoftext|>" + source_code()[half:]
    assert train_bpe(halves, 401, SPECIALS) == train_text(tmp_path, joined, 401)


def test_path_may_be_a_string(tmp_path: Path) -> None:
    trained = train_text(tmp_path, "some some text", 261)
    assert train_bpe(str(tmp_path / "corpus.txt"), 261, SPECIALS) == trained


DETERMINISM_SCRIPT = """
import hashlib, sys
from bpe import train_bpe
for engine in "reference", "kernels":
    for workers, chunk_bytes in (1, 10_007), (2, 1 << 20), (4, 7_001):
        split = {"workers": workers, "chunk_bytes": chunk_bytes, "engine": engine}
        trained = train_bpe(sys.argv[1], 509, ["<|endoftext|>"], **split)
        print(hashlib.sha256(repr(trained).encode()).hexdigest())
"""


def test_result_depends_on_no_hash_seed_workers_chunk_size_or_engine(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("<|endoftext|>".join(corpus() for corpus in CORPORA))
    expected = repr(train_bpe(path, 509, ["<|endoftext|>"])).encode()
    hashes: set[str] = set()
    for seed in ("0", "4294967295"):
        run = subprocess.run(
            [sys.executable, "-c", DETERMINISM_SCRIPT, path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(run.stdout.split()) == 6
        hashes.update(run.stdout.split())
    assert hashes == {hashlib.sha256(expected).hexdigest()}


def test_early_stop_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vocab, _ = train_text(tmp_path, "abc", 1009)
    assert len(vocab) == 260
    assert caplog.record_tuples == [
        ("bpe", logging.WARNING, "no pair is left to merge: the vocabulary has 260 of 1009 tokens")
    ]


def test_replaced_bytes_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"one \xff two")
    train_bpe(path, 257, [], errors="replace")
    assert f"{path}: 1 malformed bytes read as U+FFFD" in caplog.messages


def test_progress_runs_from_bytes_to_merges(tmp_path: Path) -> None:
    seen: list[TrainingProgress] = []
    _, merges = train_text(tmp_path, source_code(), 269, progress=seen.append)
    size = (tmp_path / "corpus.txt").stat().st_size
    assert [step for step in seen if step.phase == "count"][-1] == (
        TrainingProgress("count", size, size)
    )
    assert [step for step in seen if step.phase == "merge"] == [
        TrainingProgress("merge", 0, 11, text_bytes=size),
        *(
            TrainingProgress("merge", done, 11, left + right, size)
            for done, (left, right) in enumerate(merges, 1)
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 257}, r"vocab_size=257 is not in 258\.\.1114111; .* 2 special tokens"),
        ({"vocab_size": 1114112}, "vocab_size=1114112 is not in 258"),
        ({"special_tokens": ["<e>", "<e>"]}, "special token '<e>' is given twice"),
        ({"special_tokens": ["\ud800"]}, "lone surrogate"),
        ({"special_tokens": "<e>"}, r"wrap the one: \['<e>'\]"),
        ({"pattern": "("}, r"pattern '\(' is not a valid regex"),
        ({"pattern": "gpt-2"}, "did you mean 'gpt2'"),
        ({"tie_break": "hf"}, "tie_break is 'hf'; it can be 'bytes' or 'huggingface'"),
        ({"errors": "ignore"}, "errors is 'ignore'"),
        ({"workers": 0}, "workers=0 must be at least 1"),
        ({"chunk_bytes": 0}, "chunk_bytes=0 must be at least 1"),
        ({"input_path": []}, "input_path is empty"),
    ],
)
def test_bad_argument_is_named(arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("some text")
    good = {"input_path": path, "vocab_size": 300, "special_tokens": SPECIALS}
    with pytest.raises(ValueError, match=message):
        train_bpe(**{**good, **arguments})  # type: ignore[arg-type]


def test_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"corpus\.txt: no text to train on \(0 bytes\)"):
        train_text(tmp_path, "", 300)


def test_missing_file_is_found_before_another_is_read(tmp_path: Path) -> None:
    first = tmp_path / "first.txt"
    first.write_bytes(b"\xff")
    with pytest.raises(FileNotFoundError, match=r"second\.txt"):
        train_bpe([first, tmp_path / "second.txt"], 300, SPECIALS)


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        train_bpe(tmp_path, 300, SPECIALS)
