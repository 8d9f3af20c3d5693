"""Damage to checkpoints: every kind of it is found before a byte reaches an unpickler."""

import errno
import json
import os
import random
import re
import shutil
import sys
from pathlib import Path
from typing import IO, Any

import pytest
import refusals
import torch
from kills import module_and_optimizer
from refusals import can_mount, on_a_small_disk
from warm_process import WarmPair

from trainer import checkpoints, load_checkpoint, retention, save_checkpoint
from trainer.checkpoints import CorruptCheckpointError, Counters, SaveError

FILES = (checkpoints.MODEL, checkpoints.OPTIMIZER, checkpoints.MANIFEST)
"""The last one is found by its contents, the others by their hashes."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two checkpoints, of steps 3 and 5."""
    place = tmp_path / "checkpoints"
    place.mkdir()
    model, optimizer = module_and_optimizer(rows=13)
    for step in (3, 5):
        checkpoints.save(
            place, model, [optimizer], counters=Counters(step, 7, 0.5), identity={"data": "d"}
        )
        with torch.no_grad():
            model.weight.add_(1)
    return place


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What torch was asked to unpickle."""
    asked: list[str] = []
    load = torch.load

    def watched(file: IO[bytes], **options: Any) -> Any:
        asked.append(str(file))
        return load(file, **options)

    monkeypatch.setattr(torch, "load", watched)
    return asked


def check_found(root: Path, read: list[str], damages: int, damage: Any) -> None:
    """Damage step 5 in many ways; each time step 3 is found, and step 5 is set aside."""
    template = root.with_name("template")
    shutil.copytree(root, template)
    draw = random.Random(damages)
    for _ in range(damages):
        damage(root / "step-000000005", draw)
        found, lines = retention.find_last_good(root)
        assert found is not None
        assert found.step == 3
        assert len(lines) == 1
        assert lines[0].startswith("checkpoint step-5 is corrupt: ")
        assert lines[0].endswith("; using step-3")
        assert (root / "corrupt-step-000000005").is_dir()
        shutil.rmtree(root)
        shutil.copytree(template, root)
    assert read == []


def flip_a_bit(directory: Path, draw: random.Random) -> None:
    # A manifest has blanks, and hashes of what the run belongs to, in which a bit says nothing of
    # the checkpoint itself.
    path = directory / draw.choice(FILES[:2])
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def truncate(directory: Path, draw: random.Random) -> None:
    path = directory / draw.choice(FILES)
    # The manifest ends with a line's end, which it can do without.
    os.truncate(path, draw.randrange(path.stat().st_size - 1))


def zero_a_page(directory: Path, draw: random.Random) -> None:
    path = directory / draw.choice(FILES[:2])
    content = bytearray(path.read_bytes())
    start = draw.randrange(0, len(content), 512)
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    if content == path.read_bytes():
        content[:512] = bytes(512)
    path.write_bytes(content)


def swap_with_another_step(directory: Path, draw: random.Random) -> None:
    other = directory.with_name("step-000000003")
    for name in draw.choice([FILES[:1], FILES[1:2], FILES[2:], FILES]):
        shutil.copy(other / name, directory / name)


def test_every_flipped_bit_is_found(root: Path, read: list[str]) -> None:
    check_found(root, read, 1000, flip_a_bit)


def test_every_truncation_is_found(root: Path, read: list[str]) -> None:
    check_found(root, read, 200, truncate)


def test_every_zeroed_page_is_found(root: Path, read: list[str]) -> None:
    check_found(root, read, 50, zero_a_page)


def test_every_file_of_another_step_is_found(root: Path, read: list[str]) -> None:
    check_found(root, read, 20, swap_with_another_step)


def test_torch_itself_would_have_loaded_flipped_bits(root: Path) -> None:
    """The reason for the hashes."""
    path, draw = root / "step-000000005" / checkpoints.OPTIMIZER, random.Random(3)
    content, loaded = path.read_bytes(), 0
    for _ in range(50):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1
        path.write_bytes(flipped)
        try:
            torch.load(path, weights_only=True)
            loaded += 1
        except Exception:
            continue
    assert loaded > 25


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_save_that_the_system_refuses_midway_raises_and_leaves_the_earlier_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    check_refused(root, "cannot save step 7: .*; step 5 is intact")


def check_refused(root: Path, words: str) -> None:
    model, optimizer = module_and_optimizer(rows=13)
    with pytest.raises(SaveError, match=words):
        checkpoints.save(root, model, [optimizer], counters=Counters(7, 7, 0.5), identity={})
    names = sorted(path.name for path in root.iterdir())
    assert names == ["step-000000003", "step-000000005"]
    assert checkpoints.verify(root / "step-000000005").step == 5


def test_save_without_room_raises_before_it_writes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(root)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check_refused(root, r"cannot save step 7: needs \d\.\d MB, 0\.0 MB free; step 5 is intact")


def test_save_onto_a_file_raises(root: Path) -> None:
    (root / "step-000000007").write_text("in the way")
    model, optimizer = module_and_optimizer(rows=13)
    with pytest.raises(SaveError, match="cannot save step 7: Not a directory"):
        checkpoints.save(root, model, [optimizer], counters=Counters(7, 7, 0.5), identity={})
    assert checkpoints.verify(root / "step-000000005").step == 5


def test_save_into_a_directory_that_is_gone_raises(root: Path) -> None:
    aside = root.rename(root.with_name("moved"))
    model, optimizer = module_and_optimizer(rows=13)
    with pytest.raises(SaveError, match="cannot save step 7: No such file or directory"):
        checkpoints.save(root, model, [optimizer], counters=Counters(7, 7, 0.5), identity={})
    assert not root.exists()
    assert checkpoints.verify(aside / "step-000000005").step == 5


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o555, "checkpoints/.unfinished-step-000000007; step 5 is intact"),
        (0o000, "checkpoints/.unfinished-step-000000007; earlier ones cannot be seen"),
    ],
)
def test_save_without_permission_raises(root: Path, warm: WarmPair, mode: int, words: str) -> None:
    arguments = {"root": str(root.parent), "mode": mode}
    (said,) = warm.call("refusals.save_without_permission", arguments)
    assert said == f"SaveError: cannot save step 7: Permission denied: {words}"
    assert sorted(path.name for path in root.iterdir()) == ["step-000000003", "step-000000005"]
    assert checkpoints.verify(root / "step-000000005").step == 5


def test_checkpoints_that_cannot_be_read_are_not_taken_for_none(root: Path, warm: WarmPair) -> None:
    arguments = {"root": str(root.parent), "mode": 0o000}
    (said,) = warm.call("refusals.find_without_permission", arguments)
    assert said == "PermissionError: [Errno 13] Permission denied: 'checkpoints'"


@pytest.mark.skipif(not can_mount(), reason="mounts a disk")
def test_save_on_a_disk_that_is_full_or_read_only_raises(tmp_path: Path) -> None:
    program = [sys.executable, refusals.__file__]
    process = on_a_small_disk(tmp_path, "256k", *program)
    assert process.returncode == 0, process.stderr
    said = json.loads(process.stdout)
    for case in ("little", "none"):
        assert re.fullmatch(
            r"SaveError: cannot save step 7: needs \d\.\d MB, \d\.\d MB free; step 5 is intact",
            said[case],
        )
    assert said["read-only"] == (
        "SaveError: cannot save step 7: Read-only file system: "
        "checkpoints/.unfinished-step-000000007; step 5 is intact"
    )
    assert said["checkpoints"] == "step-000000003 step-000000005"
    assert said["last"] == "5"


def test_single_file_onto_a_directory_raises(tmp_path: Path) -> None:
    model, optimizer = module_and_optimizer(rows=13)
    with pytest.raises(OSError, match="cannot write"):
        save_checkpoint(model, optimizer, 3, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_flipped_bit_in_a_single_file_is_found(tmp_path: Path) -> None:
    model, optimizer = module_and_optimizer(rows=13)
    path, draw = tmp_path / "one.pt", random.Random(5)
    save_checkpoint(model, optimizer, 3, path)
    content = path.read_bytes()
    before = model.weight.clone()
    found = 0
    for _ in range(100):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1
        path.write_bytes(flipped)
        try:
            load_checkpoint(path, model, optimizer)
        except CorruptCheckpointError:
            found += 1
        # A bit in the padding or in an entry's time of day changes nothing that is loaded.
        assert torch.equal(model.weight, before)
    assert found > 50
