"""The training adapter: what it learns, how fast, and that special tokens leave no trace."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import pytest
from adapters import get_tokenizer, run_train_bpe

SPECIAL = "<|endoftext|>"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_bytes((SPECIAL.join(["low lower lowest", "new newer newest"] * 101)).encode())
    return path


def test_vocabulary_is_specials_bytes_and_merges(corpus: Path) -> None:
    vocab, merges = run_train_bpe(corpus, 263, [SPECIAL])
    assert vocab == dict(
        enumerate(
            [
                SPECIAL.encode(),
                *(bytes([byte]) for byte in range(256)),
                *(left + right for left, right in merges),
            ]
        )
    )


def test_merges_follow_the_counts_and_break_ties_upwards(corpus: Path) -> None:
    # (w, e) is in four of the six words; (n, e) and (l, o) then tie with three each, and after
    # them (we, s) ties with (we, r), (s, t), (" ", ne) and others with two.
    _, merges = run_train_bpe(str(corpus), 262, [SPECIAL])
    assert merges == [(b"w", b"e"), (b"n", b"e"), (b"l", b"o"), (b"we", b"s"), (b"wes", b"t")]


def test_no_token_holds_a_piece_of_a_special_token(corpus: Path) -> None:
    vocab, _ = run_train_bpe(corpus, 277, [SPECIAL])
    assert [token for token in vocab.values() if len(token) > 1 and b"<" in token] == [
        b"<|endoftext|>"
    ]


def test_trained_vocabulary_encodes_and_decodes(corpus: Path) -> None:
    vocab, merges = run_train_bpe(corpus, 269, [SPECIAL])
    tokenizer = get_tokenizer(vocab, merges, [SPECIAL])
    text = f"the newest, lowest{SPECIAL}"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_small_training_takes_well_under_1_5_seconds_in_a_fresh_process(tmp_path: Path) -> None:
    source = Path(argparse.__file__).read_bytes() * 2
    (tmp_path / "corpus.txt").write_bytes(source[:130_000])
    program = "from bpe import train_bpe; train_bpe('corpus.txt', 500, ['<|endoftext|>'])"
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.5


def test_options_reach_the_trainer(corpus: Path) -> None:
    with pytest.raises(ValueError, match="no_such"):
        run_train_bpe(corpus, 263, [SPECIAL], pattern="no_such")
