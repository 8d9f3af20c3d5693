"""The kernels' tests run in two places: on a GPU, and on the CPU in Triton's interpreter.

Triton decides which when it is imported, so `test_interpreter.py` starts a second pytest with
TRITON_INTERPRET=1 for the CPU. Without that and without a CUDA device they are skipped.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HERE = Path(__file__).parent

if find_spec("triton") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if INTERPRETED or torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="no CUDA device; test_interpreter.py runs it on the CPU")
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture
def device() -> torch.device:
    """Return where the kernels run: the GPU, or the CPU in the interpreter."""
    return torch.device("cpu" if INTERPRETED else "cuda")


@pytest.fixture(scope="session", autouse=INTERPRETED)
def teach_the_interpreter_bfloat16() -> None:
    """Make the interpreter's product read bfloat16, which it keeps as 16-bit integers.

    It would multiply those integers. Widened to float32, they are the numbers that they stand for.
    """
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    multiply = InterpreterBuilder.create_dot

    def widened(operand: Any) -> Any:
        if operand.dtype.scalar != tl.bfloat16:
            return operand
        return TensorHandle((operand.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return multiply(self, widened(a), widened(b), *rest)

    InterpreterBuilder.create_dot = create_dot
