"""`bpe view` shows every token and every byte, in colours where there are some."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from bpe_reference import texts
from hypothesis import given
from rich.console import Console

from bpe.cli import main
from bpe.token_view import ViewedToken, view_tokens, visible
from bpe.tokenizer import Tokenizer

BPE = [sys.executable, "-c", "import sys; from bpe.cli import main; sys.exit(main())"]


def view(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bpe", "view", *map(str, arguments)])
    return main()


def at_a_terminal(arguments: list[str], environment: Mapping[str, str]) -> str:
    parent, child = pty.openpty()
    variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM", "COLORTERM")}
    command = [*BPE, "view", *arguments]
    with subprocess.Popen(
        command, stdout=child, stderr=child, env={**variables, **environment}
    ) as process:
        os.close(child)
        shown = b""
        try:
            while piece := os.read(parent, 4096):
                shown += piece
        except OSError:
            pass  # Linux's sign that the other end is closed.
    os.close(parent)
    assert process.returncode == 0, shown
    return shown.decode()


def test_neighbours_have_different_colours_on_a_terminal(saved: Path) -> None:
    text = "the the the the the the the<|pad|> the"
    shown = at_a_terminal([str(saved), text], {"TERM": "xterm"})
    pieces = regex.findall(r"\x1b\[([\d;]+)m(.*?)\x1b\[0m", shown)
    assert [word for _, word in pieces] == ["the", *["·the"] * 6, "<|pad|>", "·the"]
    assert all(left != right for (left, _), (right, _) in pairwise(pieces))
    assert "9 tokens, 1 of them special; 38 bytes, 4.222 bytes per token" in shown


@pytest.mark.parametrize("environment", [{"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colour_bars_stand_between_tokens(saved: Path, environment: dict[str, str]) -> None:
    shown = at_a_terminal([str(saved), "the the<|pad|>"], environment)
    assert shown.startswith("the|·the|[<|pad|>]\r\n3 tokens")
    assert "\x1b" not in shown


def test_a_pipe_gets_no_colours_but_ids_if_asked(
    saved: Path,
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert view(monkeypatch, saved, "the the", "--ids") == 0
    first, second = tokenizer.encode("the the")
    assert capsys.readouterr().out.startswith(f"the:{first}|·the:{second}\n2 tokens; 7 bytes")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\n b\n", "a|↵\n|·b|↵\n4 tokens;"), ("a\n b", "a|↵\n|·b\n3 tokens;")],
)
def test_a_file_keeps_its_lines(
    text: str,
    shown: str,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.txt").write_text(text)
    assert view(monkeypatch, saved, tmp_path / "text.txt") == 0
    assert capsys.readouterr().out.startswith(shown)


@pytest.mark.parametrize(
    ("token", "shown", "ascii_shown"),
    [
        (b" a\tb\r\n", "·a→b␍↵\n", "_a\\tb\\r\\n\n"),
        (b"\xe6\x9d", r"\xe6\x9d", r"\xe6\x9d"),
        (b"a\xc3", r"a\xc3", r"a\xc3"),
        ("東\u00a0\u2028\x00".encode(), r"東\xa0\u2028\x00", r"\u6771\xa0\u2028\x00"),
        (b"\x1b[31m", r"\x1b[31m", r"\x1b[31m"),
    ],
)
def test_every_byte_of_a_token_shows(token: bytes, shown: str, ascii_shown: str) -> None:
    assert visible(token) == shown
    assert visible(token, ascii_only=True) == ascii_shown


@given(text=texts())
def test_what_is_shown_is_each_token_made_visible(tokenizer: Tokenizer, text: str) -> None:
    tokens = [tokenizer.vocab[token_id] for token_id in tokenizer.encode(text)]
    viewed = [ViewedToken(0, token, False) for token in tokens]
    pieces = view_tokens(viewed, Console(force_terminal=True, color_system="standard"))
    assert [piece.plain for piece in pieces] == [*map(visible, tokens)]


def test_a_terminal_without_utf8_gets_ascii(saved: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*BPE, "view", str(saved), "the 東"], env=environment, capture_output=True, check=True
    )
    assert done.stdout.isascii()
    assert done.stdout.startswith(rb"the|_")


def test_an_empty_text_has_no_tokens(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert view(monkeypatch, saved, "") == 0
    assert capsys.readouterr().out == "0 tokens; 0 bytes\n"
