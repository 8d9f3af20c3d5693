"""`bpe train` does what its function does, and tells what it made."""

import gzip
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bpe_command import BPE, TEXT, TRAIN, run, run_here
from rich.console import Console

from bpe import Tokenizer, train_bpe
from bpe.terminal import Display

pytestmark = pytest.mark.usefixtures("directory_with_text")


def test_installed_command_trains_as_the_function() -> None:
    command = Path(sys.executable).with_name("bpe")
    arguments = [*TRAIN, "--special-token", "<|endoftext|>"]
    subprocess.run([command, *arguments], check=True, capture_output=True)
    loaded = Tokenizer.load("tok")
    assert (loaded.vocab, loaded.merges) == train_bpe("corpus.txt", 283, ["<|endoftext|>"])
    assert loaded.special_tokens == {"<|endoftext|>": 0}


def test_train_takes_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("second.txt").write_bytes(b"more \xff text")
    options = ["--special-token", "<a>", "--special-token", "<b>", "--pattern", "cl100k"]
    options += ["--tie-break", "huggingface", "--errors", "replace", "--workers", "1"]
    options += ["--engine", "reference"]
    assert run_here(monkeypatch, "train", "second.txt", *TRAIN[1:], *options) == 0
    assert (
        Tokenizer.load("tok").merges
        == train_bpe(
            ["second.txt", "corpus.txt"],
            283,
            ["<a>", "<b>"],
            pattern="cl100k",
            tie_break="huggingface",
            errors="replace",
        )[1]
    )


def test_train_tells_what_it_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, *TRAIN, "--special-token", "<|endoftext|>") == 0
    told = capsys.readouterr()
    assert "283: 1 special, 256 bytes, 26 merges" in told.out
    assert re.search(r"peak memory +[\d,]+ MB\n", told.out)
    assert re.search(r"longest +'morning'", told.out)
    assert re.search(r"^counting: .* MB/s\nmerging: 26 of 26 merges done, .*/s$", told.err, re.M)


def test_rate_counts_the_time_before_the_first_news(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(Console(stderr=True)) as display:
        time.sleep(0.1)
        display.update("counting", 1_000_000, 1_000_000, "bytes")
    rate = re.search(r"done, ([\d.]+) MB/s", capsys.readouterr().err)
    assert rate is not None
    assert float(rate[1]) <= 10


def test_train_says_when_it_stops_early(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("corpus.txt").write_text("abc")
    assert run_here(monkeypatch, *TRAIN) == 0
    assert "warning: no pair is left to merge: the vocabulary has 258 of 283" in (
        capsys.readouterr().err
    )


def test_train_shows_bars_on_a_terminal() -> None:
    parent, child = pty.openpty()
    with subprocess.Popen([*BPE, *TRAIN], stdout=child, stderr=child) as process:
        os.close(child)
        shown = b""
        try:
            while piece := os.read(parent, 4096):
                shown += piece
        except OSError:
            pass  # Linux's sign that the other end is closed.
    os.close(parent)
    assert process.returncode == 0
    assert re.search(r"merging.*━.*27 of 27 merges", shown.decode())


def test_train_reads_standard_input(trained_here: Tokenizer) -> None:
    arguments = ["--special-token", "<|endoftext|>", "--vocab-size", "283", "--out", "piped"]
    finished = run("train", "-", *arguments, stdin=TEXT.encode())
    assert Tokenizer.load("piped").vocab == trained_here.vocab
    assert re.match(r"counting: ([\d,.]+) of \1 kB done", finished.stderr.decode())
    assert f"text         {len(TEXT.encode()):,} bytes in 1 file\n" in finished.stdout.decode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("corpus.txt.gz", gzip.compress(TEXT.encode())),
        ("corpus.jsonl", json.dumps({"text": TEXT}).encode()),
    ],
)
def test_train_tells_the_size_of_the_text_in_a_file(
    name: str, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(content)
    assert run_here(monkeypatch, "train", name, *TRAIN[2:]) == 0
    assert f"{len(TEXT.encode()):,} bytes in 1 file\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "special_tokens.json"])
def test_train_refuses_to_replace_a_tokenizer(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tok").mkdir()
    Path("tok", name).write_text("kept")
    assert run_here(monkeypatch, *TRAIN) == 2
    message = f"holds a tokenizer ({name}); --overwrite replaces it, another --out keeps it"
    assert capsys.readouterr().err == f"bpe: tok: {message}\n"
    assert [path.read_text() for path in Path("tok").iterdir()] == ["kept"]


@pytest.mark.usefixtures("trained_here")
def test_train_replaces_a_tokenizer_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_here(monkeypatch, *TRAIN, "--vocab-size", "263", "--overwrite") == 0
    assert Tokenizer.load("tok").vocab_size == 263


def test_train_writes_into_a_directory_of_other_files(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tok").mkdir()
    Path("tok", "notes.txt").write_text("kept")
    assert run_here(monkeypatch, *TRAIN) == 0
    assert Path("tok", "notes.txt").read_text() == "kept"
