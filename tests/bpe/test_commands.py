"""The commands that use a tokenizer do what its methods do."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from bpe_command import TEXT, run, run_here

from bpe import Tokenizer
from bpe.pretoken_counts import PretokenCounts

pytestmark = pytest.mark.usefixtures("directory_with_text")


def test_encode_writes_what_encode_array_returns(
    trained_here: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, "encode", "tok", "corpus.txt", "--out", "ids.npy") == 0
    ids = np.load("ids.npy")
    np.testing.assert_array_equal(ids, trained_here.encode_array(TEXT))
    assert json.loads(Path("ids.npy.json").read_text())["num_tokens"] == len(ids)
    assert f"{len(ids):,}\n" in capsys.readouterr().out


def test_encode_prints_ids(trained_here: Tokenizer) -> None:
    finished = run("encode", "tok", "-", stdin=TEXT.encode())
    assert [int(word) for word in finished.stdout.split()] == trained_here.encode(TEXT)


@pytest.mark.usefixtures("trained_here")
@pytest.mark.parametrize(
    "arguments",
    ["encode tok -", "encode tok - --out a", "train - --vocab-size 283 --out a", "count - --out a"],
)
def test_a_packed_text_from_a_pipe_is_called_so(arguments: str) -> None:
    finished = run(*arguments.split(), stdin=gzip.compress(TEXT.encode()))
    assert finished.returncode == 2
    message = b"it looks like gzip: unpack it first (zcat FILE | ...)\n"
    assert finished.stderr.endswith(message)


def test_encode_can_take_special_tokens_for_text(trained_here: Tokenizer) -> None:
    finished = run("encode", "tok", "-", "--specials", "none", stdin=b"<|endoftext|>")
    ids = [int(word) for word in finished.stdout.split()]
    assert ids == trained_here.encode("<|endoftext|>", allowed_special="none") != [0]


def test_decode_gives_the_bytes_back(
    trained_here: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    trained_here.encode_file("corpus.txt", "ids.npy")
    assert run_here(monkeypatch, "decode", "tok", "ids.npy") == 0
    assert capfdbinary.readouterr().out == TEXT.encode()
    assert run_here(monkeypatch, "decode", "tok", "ids.npy", "--out", "same.txt") == 0
    assert Path("same.txt").read_bytes() == TEXT.encode()


def test_decode_reads_ids_as_text(trained_here: Tokenizer) -> None:
    ids = " ".join(map(str, trained_here.encode("Whose key\n")))
    assert run("decode", "tok", "-", stdin=ids.encode()).stdout == b"Whose key\n"


@pytest.mark.usefixtures("trained_here")
def test_decode_refuses_an_array_from_standard_input() -> None:
    assert run("encode", "tok", "corpus.txt", "--out", "ids.npy").returncode == 0
    finished = run("decode", "tok", "-", stdin=Path("ids.npy").read_bytes())
    assert finished.returncode == 2
    message = b"bpe: standard input is a .npy file; give its name instead of -\n"
    assert finished.stderr == message


def test_count_reads_standard_input() -> None:
    assert run("count", "-", "--out", "part.npz", stdin=TEXT.encode()).returncode == 0
    assert PretokenCounts.load("part.npz").num_bytes == len(TEXT.encode())


def test_report_measures_the_text(
    trained_here: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, "report", "tok", "corpus.txt") == 0
    told = capsys.readouterr().out
    ids = trained_here.encode(TEXT)
    num_bytes = len(TEXT.encode())
    assert f"{num_bytes:,} bytes, {len(ids):,} tokens" in told
    assert f"{num_bytes / len(ids):.3f} bytes per token" in told
    assert f"{len(set(ids))} of 283 tokens used" in told
    assert re.search(r"encoding +[\d.]+ MB/s\ndecoding +[\d.]+ MB/s\npeak memory +[\d,]+ MB", told)
    assert re.search(r"longest +'morning'", told)


@pytest.mark.usefixtures("trained_here")
@pytest.mark.parametrize("words", ["7 x", "7 1.5", "999999", "-1"])
def test_bad_ids_are_named(words: str) -> None:
    finished = run("decode", "tok", "-", stdin=words.encode())
    assert finished.returncode == 2
    assert re.fullmatch(r"bpe: .*(x|1\.5|999999|-1).*\n", finished.stderr.decode())
