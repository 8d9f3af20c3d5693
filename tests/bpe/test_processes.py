"""Worker processes neither hang nor outlive their parent, and need nothing from a script."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bpe.processes import map_unordered


def workers_of(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_every_item_is_mapped_once() -> None:
    assert sorted(map_unordered(abs, range(-17, 0), workers=2)) == list(range(1, 18))


def test_items_are_taken_as_results_are_used() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(101):
            taken.append(item)
            yield item

    results = map_unordered(abs, items(), workers=2)
    next(results)
    assert len(taken) <= 2 * 2
    results.close()  # type: ignore[attr-defined]


def test_error_in_a_worker_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(map_unordered(int, ["7", "x"], workers=2))


def test_killed_worker_is_an_error_at_once() -> None:
    results = map_unordered(time.sleep, [0.001, *[60.0] * 7], workers=2)
    next(results)
    start = time.monotonic()
    workers_of(os.getpid())[0].kill()
    with pytest.raises(ChildProcessError, match="one of 2 worker processes died"):
        list(results)
    assert time.monotonic() - start < 5


def test_workers_end_when_the_results_are_given_up() -> None:
    results = map_unordered(time.sleep, [0.001, *[60.0] * 7], workers=2)
    next(results)
    workers = workers_of(os.getpid())
    results.close()  # type: ignore[attr-defined]
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert workers
    assert not alive


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from bpe.processes import map_unordered\n"
        "results = map_unordered(time.sleep, [0.001, *[60.0] * 7], workers=2)\n"
        "next(results)\n"
        "print('started', flush=True)\n"
        "next(results)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        workers = workers_of(parent.pid)
        parent.kill()
    assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


def test_script_needs_no_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from bpe.processes import map_unordered\n"
        "print('once', *map_unordered(abs, [-5], workers=2))\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("once 5\n", "")
