"""Every command reads every format, and `bpe convert` writes one from another."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bpe_command import TEXT, run_here

from bpe import Tokenizer

FORMATS: dict[str, Callable[[Tokenizer, str], None]] = {
    "dir ectory": Tokenizer.save,
    "any.json": Tokenizer.to_huggingface,
    "gpt2.tiktoken": Tokenizer.to_tiktoken,
}


@pytest.fixture
def mine(trained_here: Tokenizer) -> Tokenizer:
    """Make a tokenizer that each format holds whole, saved in all of them, and a directory of one.

    A rank file has no special tokens: this has none.
    """
    tokens = sorted(trained_here.vocab.items())[1:]
    mine = Tokenizer({at: token for at, (_, token) in enumerate(tokens)}, trained_here.merges)
    for name, write in FORMATS.items():
        write(mine, name)
    Path("model").mkdir()
    mine.to_huggingface("model/tokenizer.json")
    return mine


@pytest.mark.parametrize("source", [*FORMATS, "model"])
def test_encode_and_decode_read_every_format(
    source: str, mine: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_here(monkeypatch, "encode", source, "corpus.txt", "--out", "ids.npy") == 0
    assert np.load("ids.npy").tolist() == mine.encode(TEXT)
    assert run_here(monkeypatch, "decode", source, "ids.npy", "--out", "same.txt") == 0
    assert Path("same.txt").read_bytes() == TEXT.encode()


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("out", ["deep/new", "deep/new.json", "deep/new.tiktoken"])
def test_convert_writes_what_the_method_writes(
    source: str, out: str, mine: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_here(monkeypatch, "convert", source, "--out", out) == 0
    write = {".json": mine.to_huggingface, ".tiktoken": mine.to_tiktoken}
    write.get(Path(out).suffix, mine.save)("expected")
    assert contents("expected") == contents(out)


def contents(path: str) -> list[bytes]:
    place = Path(path)
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return [file.read_bytes() for file in files]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("out", FORMATS)
def test_convert_replaces_only_when_told_to(
    out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(out)
    assert run_here(monkeypatch, "convert", "tok", "--out", out) == 2
    assert "--overwrite replaces it, another --out keeps it" in capsys.readouterr().err
    assert contents(out) == before
    assert run_here(monkeypatch, "convert", "tok", "--out", out, "--overwrite") == 0
    assert contents(out) != before


def test_convert_gives_a_rank_file_what_it_lacks(
    mine: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--pattern", "cl100k", "--special-token", "<|endoftext|>"]
    assert run_here(monkeypatch, "convert", "gpt2.tiktoken", "--out", "new", *flags) == 0
    made = Tokenizer.load("new")
    assert made.special_tokens == {"<|endoftext|>": mine.vocab_size}
    assert made.pattern == "cl100k"


def test_convert_tells_how_a_rank_file_is_read_as_what_it_was(
    trained_here: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, "convert", "tok", "--out", "my ranks.tiktoken") == 0
    match = re.search(r"^to read it +bpe (.*) --out DIR$", capsys.readouterr().out, re.M)
    assert match is not None
    assert run_here(monkeypatch, *shlex.split(match[1]), "--out", "new") == 0
    assert Tokenizer.load("new").sha256 == trained_here.sha256


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("any.json --pattern gpt2", "any.json: names its pattern itself"),
        ("tok --pattern gpt2", "tok: names its pattern itself"),
        ("gpt2.tiktoken --special-token a", "--special-token is for rank files, and needs"),
        (
            "gpt2.tiktoken --pattern gpt2 --special-token a --special-token b=900",
            "--special-token: give each its id, once",
        ),
    ],
)
def test_flags_that_say_nothing_clear_are_refused(
    arguments: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_here(monkeypatch, "convert", *arguments.split(), "--out", "new") == 2
    assert capsys.readouterr().err.startswith(f"bpe: {message}")
    assert not Path("new").exists()


@pytest.mark.parametrize(("name", "num_warnings"), [("my.ranks", 1), ("r50k_base.tiktoken", 0)])
def test_a_guessed_pattern_is_said(
    name: str,
    num_warnings: int,
    mine: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine.to_tiktoken(name)
    assert run_here(monkeypatch, "encode", name, "corpus.txt") == 0
    told = capsys.readouterr().err
    assert told.count("a rank file names no pattern; gpt2 is taken") == num_warnings


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_no_tokenizer_is_said_without_a_way_to_harm_a_file(
    command: str,
    mine: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty").mkdir()
    assert run_here(monkeypatch, command, "empty", "corpus.txt") == 2
    assert capsys.readouterr().err == "bpe: empty: holds no tokenizer that can be read\n"
