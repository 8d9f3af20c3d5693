"""The command that `bpe` prints as the next one runs as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from bpe_command import run_here

pytestmark = pytest.mark.usefixtures("directory_with_text")


def next_of(told: str) -> list[str]:
    """Return the words that a shell makes of the next command."""
    match = re.search(r"^next +(.*)$", told, re.M)
    assert match is not None
    return shlex.split(match[1])


def test_names_with_spaces_are_quoted_in_next_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("corpus.txt").rename("t\u00e9 xt.txt")
    assert run_here(monkeypatch, "count", "t\u00e9 xt.txt", "--out", "p 1.npz") == 0
    counted = next_of(capsys.readouterr().out)
    assert counted == shlex.split("bpe train --from-counts 'p 1.npz' --vocab-size N --out DIR")
    arguments = ["train", "t\u00e9 xt.txt", "--vocab-size", "257", "--out", "to k"]
    assert run_here(monkeypatch, *arguments) == 0
    trained = next_of(capsys.readouterr().out)
    assert trained == ["bpe", "report", "to k", "t\u00e9 xt.txt"]
    assert run_here(monkeypatch, *trained[1:]) == 0


def test_of_counts_and_pipes_the_next_command_leaves_the_text_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(monkeypatch, "count", "corpus.txt", "--out", "part.npz")
    arguments = ["--from-counts", "part.npz", "--vocab-size", "257", "--out", "tok"]
    assert run_here(monkeypatch, "train", *arguments) == 0
    assert capsys.readouterr().out.endswith("bpe report tok TEXT\n")
