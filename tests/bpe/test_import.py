"""Importing the package is cheap: what only some callers need is loaded when they need it."""

import subprocess
import sys

import pytest

MEASURE = """
import sys, time
start = time.process_time()
import bpe
print(time.process_time() - start, *sys.modules)
"""


@pytest.fixture(scope="module")
def measured() -> list[str]:
    # The best of a few: the first may compile bytecode.
    runs = [
        subprocess.run(
            [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(3)
    ]
    return min(runs, key=lambda run: float(run[0]))


def test_import_takes_less_than_a_fifth_of_a_second(measured: list[str]) -> None:
    assert float(measured[0]) < 0.2


@pytest.mark.parametrize("module", ["numpy", "numba", "tyro", "rich", "multiprocessing", "torch"])
def test_import_loads_no_module_that_few_need(measured: list[str], module: str) -> None:
    assert "bpe" in measured
    assert module not in measured
