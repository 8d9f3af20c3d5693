"""One run directory, one writer."""

import json
import os
import platform
import resource
import sys
from pathlib import Path

import pytest
from refusals import can_mount, on_a_small_disk
from trainer_jobs import start
from warm_process import WarmPair

from trainer import run_lock
from trainer.cli import exit_status
from trainer.disk import NoSpaceError
from trainer.run_lock import RunLockedError


def test_second_writer_is_refused_at_once_and_a_killed_one_frees_the_directory(
    warm: WarmPair, tmp_path: Path
) -> None:
    calls = [{"root": str(tmp_path / name), "times": 10} for name in "ab"]
    assert warm.call("lock_holders.hold_and_kill", *calls) == [[], []]


def test_second_command_ends_before_it_loads_anything(tmp_path: Path) -> None:
    with run_lock.hold(tmp_path / "run"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = start("--run-dir=run", cwd=tmp_path)
        output, errors = process.communicate()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (process.returncode, output) == (2, "")
    assert errors.startswith(
        f"train: run_dir run is in use by process {os.getpid()} on {platform.node()} since 20"
    )
    # Of the processor, which other work on the machine does not change.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_directory_in_which_nothing_was_made_is_gone(tmp_path: Path) -> None:
    with run_lock.hold(tmp_path / "run"):
        holder = json.loads((tmp_path / "run/run.lock").read_text())
    assert holder["pid"] == os.getpid()
    assert not (tmp_path / "run").exists()


def test_directory_with_a_run_stays_without_the_lock(tmp_path: Path) -> None:
    with run_lock.hold(tmp_path / "run"):
        (tmp_path / "run/config.json").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_lock_that_a_killed_process_left_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text('{"pid": 1, "host": "h", "since": "then"}')
    run_lock.check_free(tmp_path)
    with run_lock.hold(tmp_path):
        pass


def test_holder_that_wrote_nothing_yet_is_another_process(tmp_path: Path) -> None:
    with run_lock.hold(tmp_path):
        (tmp_path / "run.lock").write_text("")
        with pytest.raises(RunLockedError, match="in use by another process"):
            run_lock.check_free(tmp_path)


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match=r"file/run cannot be written \(Not a directory\): mend"),
        run_lock.hold(tmp_path / "file/run"),
    ):
        pass


def test_directory_without_permission_is_refused(tmp_path: Path, warm: WarmPair) -> None:
    (tmp_path / "checkpoints").mkdir()
    arguments = {"root": str(tmp_path), "mode": 0o555}
    (said,) = warm.call("refusals.hold_without_permission", arguments)
    assert said == (
        "ValueError: run_dir checkpoints cannot be written (Permission denied): "
        "mend that or give another --run-dir"
    )
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.skipif(not can_mount(), reason="mounts a disk")
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    train = Path(sys.executable).parent / "train"
    fill = f"head -c 9999 /dev/zero 2>&- >filler; {train} --run-dir=run; echo $?; ls -A"
    process = on_a_small_disk(tmp_path, "4k", "sh", "-c", fill)
    assert process.stdout.split() == ["4", "filler"]
    assert process.stderr == (
        "train: run_dir run cannot be written (No space left on device): "
        "make room or give another --run-dir\n"
    )


def test_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3, 3))
        try:
            with run_lock.hold(tmp_path / "run"):
                os._exit(0)
        except NoSpaceError as error:
            os._exit(exit_status(error) or 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    assert list(tmp_path.iterdir()) == []
