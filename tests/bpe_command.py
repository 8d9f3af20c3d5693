"""Run the `bpe` command, in a process of its own or in this one, on one small text."""

import subprocess
import sys
from pathlib import Path

import pytest

from bpe.cli import main

BPE = [sys.executable, "-c", "import sys; from bpe.cli import main; sys.exit(main())"]
TEXT = "One morning Ana found a key.<|endoftext|>\nWhose key is it? 鍵 🗝\r\n" * 211
TRAIN = ("train", "corpus.txt", "--vocab-size", "283", "--out", "tok")


def run_here(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bpe", *arguments])
    return main()


def run(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([*BPE, *arguments], input=stdin, capture_output=True, check=False)


def listing() -> list[str]:
    return sorted(str(path) for path in Path().iterdir())
