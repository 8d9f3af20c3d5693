"""The kernels' tests, run on the CPU by Triton's interpreter in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def run_in_interpreter(selection: str) -> str:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            # Two more processes would take longer to start than the tests take.
            "--numprocesses=0",
            "-m",
            selection,
            "-p",
            "no:cacheprovider",
            str(HERE),
        ],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "NN_KERNELS": "all"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_kernels_pass_in_the_interpreter() -> None:
    assert " skipped" not in run_in_interpreter("gpu and not long")


@pytest.mark.long
def test_kernels_pass_the_long_tests_in_the_interpreter() -> None:
    assert " skipped" not in run_in_interpreter("gpu and long")
