"""The README's examples run one after the other, and so do its commands, on the same text."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bpe

README = Path(bpe.__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run all examples, the first of which writes the text."""
    folder = tmp_path_factory.mktemp("readme")
    examples = blocks("python")
    assert len(examples) == 5
    subprocess.run(
        [sys.executable, "-c", "\n".join(examples)], cwd=folder, check=True, capture_output=True
    )
    return folder


def test_examples_of_the_readme_write_what_they_say(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= {
        *("book.txt", "tok", "book.npy", "book.npy.json", "tokenizer.json"),
    }


def test_commands_of_the_readme_run(folder: Path) -> None:
    [console] = blocks("console")
    commands = re.findall(r"^\$ (.*)$", console, re.M)
    assert len(commands) == 7
    path = Path(sys.executable).parent
    for command in commands:
        finished = subprocess.run(
            ["sh", "-c", f'PATH="{path}:$PATH"; {command}'],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
    assert (folder / "same.txt").read_bytes() == (folder / "book.txt").read_bytes()
