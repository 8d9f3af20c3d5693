"""The first example of every package's README runs as it stands, and is short."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from workspace.project import PACKAGES, ROOT


def first_example(package: str) -> str:
    """Return the first Python block of the README of `package`."""
    text = (ROOT / "packages" / package / "README.md").read_text()
    found = re.search(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the README of {package} has no Python example"
    return found.group(1)


@pytest.mark.parametrize("package", PACKAGES)
def test_readme_example_runs(package: str, tmp_path: Path) -> None:
    example = first_example(package)
    assert len(example.splitlines()) <= 20
    finished = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    # What a comment after a print promises is what it prints.
    promised = re.findall(r"^print\(.*\)  # (.+)$", example, flags=re.MULTILINE)
    for line in promised:
        assert line in finished.stdout
