"""The examples of every package's README run as they stand, the first ones in a few lines."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from workspace.project import PACKAGES, ROOT


def examples(package: str) -> list[str]:
    """Return the Python blocks of the README of `package`."""
    text = (ROOT / "packages" / package / "README.md").read_text()
    found = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the README of {package} has no Python example"
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_readme_begins_with_a_short_example(package: str) -> None:
    assert len(examples(package)[0].splitlines()) <= 20


@pytest.mark.parametrize("package", PACKAGES)
def test_readme_examples_run_one_after_the_other(package: str, tmp_path: Path) -> None:
    example = "\n".join(examples(package))
    finished = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    # What a comment after a print promises is what it prints.
    promised = re.findall(r"^print\(.*\)  # (.+)$", example, flags=re.MULTILINE)
    for line in promised:
        assert line in finished.stdout
