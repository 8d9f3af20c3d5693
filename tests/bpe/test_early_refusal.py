"""What cannot be written is found out before any work."""

import os
from pathlib import Path

import pytest
from bpe_command import TRAIN, listing, run_here

pytestmark = pytest.mark.usefixtures("trained_here")

COMMANDS = {
    "train": TRAIN[:-1],
    "count": ("count", "corpus.txt", "--out"),
    "encode": ("encode", "tok", "corpus.txt", "--out"),
    "convert": ("convert", "tok", "--out"),
}


def refusal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    out: str,
) -> str:
    """Return the one line of a command that is refused and leaves everything as it is."""
    before = listing()
    assert run_here(monkeypatch, *COMMANDS[command], out) == 2
    assert listing() == before
    told = capsys.readouterr()
    assert told.out == ""
    # Of work that was begun there would be a line.
    [line] = told.err.splitlines()
    return line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("out", ["/proc/new", "/proc/new/deep.npy", "/proc/new.json"])
def test_where_nobody_can_write_is_refused_before_any_work(
    command: str, out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(monkeypatch, capsys, command, out).startswith("bpe: /proc")


@pytest.mark.parametrize("command", ["count", "encode"])
def test_a_directory_is_refused_as_a_file_before_any_work(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "bpe: tok: cannot write: Is a directory"
    assert refusal(monkeypatch, capsys, command, "tok") == message


@pytest.mark.parametrize("command", ["count", "encode"])
def test_a_pipe_is_refused_before_any_work(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe")
    message = "bpe: pipe: cannot write: not an ordinary file"
    assert refusal(monkeypatch, capsys, command, "pipe") == message


def test_encode_appends_npy_to_a_name_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("ids").write_text("kept")
    assert run_here(monkeypatch, *COMMANDS["encode"], "ids") == 0
    assert {*listing()} >= {"ids.npy", "ids.npy.json"}
    assert Path("ids").read_text() == "kept"
