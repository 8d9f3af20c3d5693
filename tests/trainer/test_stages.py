import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.stages import RECORD, Facts, Stages, exclusive


def writing(directory: Path, name: str, calls: list[str]) -> Callable[[], Facts]:
    def make() -> Facts:
        calls.append(name)
        (directory / name).write_text(name)
        return {"made": name}

    return make


def test_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    calls: list[str] = []
    for _ in range(2):
        stages = Stages(tmp_path, "key")
        assert stages.run("one", ["a"], writing(tmp_path, "a", calls)) == {"made": "a"}
    assert calls == ["a"]
    assert stages.finished == ["one"]


def test_files_of_an_unfinished_stage_are_thrown_away(tmp_path: Path) -> None:
    Stages(tmp_path, "key").run("one", ["a"], writing(tmp_path, "a", []))
    (tmp_path / "b").write_text("half")
    (tmp_path / "c").mkdir()
    Stages(tmp_path, "key")
    assert {path.name for path in tmp_path.iterdir()} == {"a", RECORD}


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"key": "key"}', b'{"key": "key", "done": 7}'])
def test_damaged_record_begins_anew(tmp_path: Path, damage: bytes) -> None:
    Stages(tmp_path, "key").run("one", ["a"], writing(tmp_path, "a", []))
    (tmp_path / RECORD).write_bytes(damage)
    assert Stages(tmp_path, "key").finished == []
    assert list(tmp_path.iterdir()) == []


def test_stages_of_something_else_are_begun_anew(tmp_path: Path) -> None:
    Stages(tmp_path, "key").run("one", ["a"], writing(tmp_path, "a", []))
    assert Stages(tmp_path, "other").finished == []


def test_second_process_waits_for_the_first(tmp_path: Path) -> None:
    directory, waited = tmp_path / "work", tmp_path / "waited"
    listen, tell = os.pipe()
    child = os.fork()
    if not child:
        os.read(listen, 1)
        with exclusive(directory, waited.touch) as still_there:
            os._exit(int(still_there))
    with exclusive(directory, lambda: None) as there:
        assert there
        os.write(tell, b"x")
        while not waited.exists():
            time.sleep(0.001)
        directory.rename(tmp_path / "done")
    # It has the lock of what is no longer under that name.
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with exclusive(tmp_path, lambda: None):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    waits: list[None] = []
    with exclusive(tmp_path, lambda: waits.append(None)) as there:
        assert there
    assert waits == []
