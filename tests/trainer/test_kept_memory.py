"""What a step has freed is there for the next one: glibc keeps it."""

import platform
import subprocess
import sys

import pytest

# Steps that allocate so many bytes, and free all; the page faults of the last, in bytes.
FAULTS = """
import resource, sys
{before}
import torch
size, blocks = map(int, sys.argv[1:])
for _ in range(3):
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step = [torch.ones(size // 4) for _ in range(blocks)]
    del step
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) * resource.getpagesize())
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's")


@pytest.mark.parametrize(
    ("before", "size"),
    [("import nn", 2**22), ("import trainer.cli; trainer.cli.keep_freed_memory()", 2**24)],
    ids=["a small model by nn", "a larger one by train"],
)
def test_a_step_finds_its_memory_again(before: str, size: int) -> None:
    command = [sys.executable, "-c", FAULTS.format(before=before), str(size), "12"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    # All of it, and more, without what came before.
    assert float(finished.stdout) < 0.1 * 12 * size
