"""What is wrong with a command line is one line, and help says how it is right."""

import os
import subprocess
from pathlib import Path

import pytest
from bpe_command import BPE, TRAIN, listing, run_here

from bpe import Tokenizer

pytestmark = pytest.mark.usefixtures("directory_with_text")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("trian corpus.txt", 2, "unknown command 'trian'; did you mean train?"),
        ("train --vocab-size 283 --out new", 2, "no files to train on; give at least one"),
        ("train none.txt --vocab-size 283 --out new", 2, "none.txt: No such file or directory"),
        ("train tok --vocab-size 283 --out new", 2, "tok: Is a directory"),
        ("train empty.txt --vocab-size 283 --out new", 2, "empty.txt: no text to train on"),
        ("train latin.txt --vocab-size 283 --out new", 2, "latin.txt: invalid byte 0xe9 at offset"),
        ("train corpus.txt --vocab-size 7 --out new", 2, "vocab_size=7 is not in 256.."),
        ("train corpus.txt --vocab-size 283 --out empty.txt", 2, "empty.txt: Not a directory"),
        ("train corpus.txt --vocab-size 283 --out new --pattern gpt-2", 2, "did you mean 'gpt2'?"),
        ("encode none corpus.txt", 2, "; `bpe train FILES... --out DIR` makes a tokenizer"),
        ("encode tok latin.txt --out new", 2, "latin.txt: invalid byte 0xe9 at offset 3 (line 1)"),
        ("encode tok none.txt --out new", 2, "none.txt: No such file or directory"),
        ("encode broken corpus.txt", 3, "broken/vocab.json: "),
        ("decode tok corpus.txt", 3, "corpus.txt: not a .npy array"),
        ("decode tok none.npy", 2, "none.npy: No such file or directory"),
        ("report tok empty.txt", 2, "empty.txt: no text to measure"),
    ],
)
@pytest.mark.usefixtures("trained_here")
def test_bad_input_is_one_line_and_a_code(
    arguments: str,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty.txt").touch()
    Path("latin.txt").write_bytes("café".encode("latin-1"))
    Tokenizer.load("tok").save("broken")
    Path("broken/vocab.json").write_text("{")
    before = listing()
    assert run_here(monkeypatch, *arguments.split()) == code
    told = capsys.readouterr()
    assert message in told.err.splitlines()[-1]
    assert told.err.splitlines()[-1].startswith("bpe: ")
    assert "Traceback" not in told.err
    assert listing() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "which command? train, count, encode, decode, convert, report, view; see bpe --help"),
        ("train a --vocabsize 283", "unknown flag --vocabsize: did you mean --vocab-size?"),
        ("train a --special-tokn b", "unknown flag --special-tokn: did you mean --special-token?"),
        ("view a b --xyz", "unknown flag --xyz: see bpe view --help"),
        ("train a --vocab-size abc --out b", "--vocab-size: 'abc' is no integer"),
        ("train a --vocab-size 283", "--out DIR is missing; see bpe train --help"),
        ("encode", "TOKENIZER and FILE are missing; see bpe encode --help"),
        ("decode a b c", "unexpected argument c"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_bad_flags_are_one_line(arguments: str, message: str, encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    finished = subprocess.run(
        [*BPE, *arguments.split()], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert finished.stderr.removeprefix("bpe: ") == f"{message}\n"


def test_flags_may_have_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_here(monkeypatch, *TRAIN[:2], "--vocab_size", *TRAIN[3:]) == 0


def test_help_joins_the_lines_of_a_description(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        run_here(monkeypatch, "train", "--help")
    assert "No token spans two files or" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["", "train", "count", "encode", "decode", "convert", "report", "view"]
)
def test_help_fits_a_narrow_terminal(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        run_here(monkeypatch, *command.split(), "--help")
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["", "train", "encode", "decode", "convert", "report"])
def test_help_has_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_here(monkeypatch, *command.split(), "--help")
    assert f"bpe {command or 'train'} " in capsys.readouterr().out.split("╭")[0]


def test_traceback_is_shown_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPE_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        run_here(monkeypatch, "train", "none.txt", *TRAIN[2:])
