"""The commands in the README run, one after the other, on the text that its example writes."""

import re
import subprocess
import sys
from pathlib import Path

import bpe

README = Path(bpe.__file__).parents[2] / "README.md"


def test_commands_of_the_readme_run(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    example = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)[0]
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True, capture_output=True)
    console = re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)[0]
    commands = re.findall(r"^\$ (.*)$", console, re.M)
    assert len(commands) == 5
    path = Path(sys.executable).parent
    for command in commands:
        finished = subprocess.run(
            ["sh", "-c", f'PATH="{path}:$PATH"; {command}'],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "same.txt").read_bytes() == (tmp_path / "book.txt").read_bytes()
