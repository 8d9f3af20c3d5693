"""What a step has freed is there for the next one: glibc keeps it."""

import os
import platform
import subprocess
import sys

import pytest

# Steps that allocate 12 blocks of 16 MB, and free all; the page faults of the last, in bytes.
FAULTS = """
import resource
import nn, torch
for _ in range(3):
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step = [torch.ones(2**22) for _ in range(12)]
    del step
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) * resource.getpagesize())
"""
# What glibc begins with: a user who wants it so gets it.
TURNED = {"MALLOC_TRIM_THRESHOLD_": "131072"}
TUNED = {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's")


@pytest.mark.parametrize(("environment", "kept"), [({}, True), (TURNED, False), (TUNED, False)])
def test_a_step_finds_its_memory_again(environment: dict[str, str], kept: bool) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", FAULTS],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    new = int(finished.stdout) / (12 * 2**24)
    assert new < 0.1 if kept else new > 0.9
