"""The kernels' tests, run on the CPU by Triton's interpreter in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="this is that process")
def test_kernels_pass_in_the_interpreter() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(HERE)],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "NN_KERNELS": "all"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " skipped" not in run.stdout
