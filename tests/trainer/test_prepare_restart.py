"""`prepare` killed, cut off or out of disk, and called again."""

import dataclasses
import errno
import hashlib
import io
import os
import resource
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from trainer.config import DataConfig
from trainer.display import Display
from trainer.prepare import prepare
from trainer.stages import RECORD


def settings(corpus_file: Path) -> DataConfig:
    """Paths are relative, as the sidecars tell where the text came from."""
    os.chdir(corpus_file.parent)
    return DataConfig(corpus=(Path(corpus_file.name),), vocab_size=263)


def prepare_in_child(data: DataConfig, number: int, out: Path | None = None) -> bool:
    """Prepare in a process that kills itself just before it changes a directory the n-th time.

    Say whether it came to that.
    """
    child = os.fork()
    if not child:
        left = number

        def count(event: str, _: object) -> None:
            nonlocal left
            if event in ("os.rename", "os.remove", "os.mkdir"):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            prepare(data, Display(Console(file=io.StringIO())), out=out)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def content(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_prepare_killed_anywhere_goes_on_to_the_same_bytes(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    data = settings(corpus_file)
    whole = prepare(data, quiet)
    expected = content(whole)
    whole.rename("whole")
    number, kept = 1, set()
    while prepare_in_child(data, number):
        if not whole.exists():
            record = Path(f"data/.{whole.name}.unfinished", RECORD)
            kept.add(record.read_text().count('"outputs"') if record.exists() else 0)
        assert prepare(data, quiet) == whole
        assert content(whole) == expected
        assert sorted(path.name for path in whole.parent.iterdir()) == [whole.name]
        whole.rename(f"killed-{number}")
        # Every second place is enough to meet each stage.
        number += 2
    # It was killed before, after and between its four stages.
    assert kept == {0, 1, 2, 3, 4}


def test_prepare_says_what_it_goes_on_from(tmp_path: Path, corpus_file: Path) -> None:
    data = settings(corpus_file)
    number = 1
    while not list(Path("data").glob(f".*/{RECORD}")):
        prepare_in_child(data, number)
        number += 1
    shown = io.StringIO()
    prepare(data, Display(Console(file=shown, width=200)))
    assert "goes on where an earlier call ended; kept: text" in shown.getvalue()


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(5_000, []), (11_500, ["stages.json", "tokenizer", "train.txt", "valid.txt"])],
)
def test_full_disk_keeps_the_finished_stages(
    tmp_path: Path, corpus_file: Path, quiet: Display, limit: int, kept: list[str]
) -> None:
    """A limit to the size of files stands in for the disk."""
    data = dataclasses.replace(settings(corpus_file), vocab_size=257)
    listen, tell = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            prepare(data, quiet)
        except OSError as error:
            os.write(tell, str(error).encode())
            os._exit(error.errno or 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.ENOSPC
    message = os.read(listen, 4096).decode()
    assert "are free where data is; the finished stages are kept" in message
    assert sorted(path.name for path in Path("data").glob(".*.unfinished/*")) == kept
    assert (prepare(data, quiet) / "data.json").exists()
    assert len(list(Path("data").iterdir())) == 1


def test_changed_text_is_not_mixed_with_finished_stages(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    data = settings(corpus_file)
    out, number = Path("out"), 1
    while not Path(f".{out}.unfinished/{RECORD}").exists():
        prepare_in_child(data, number, out)
        number += 1
    corpus_file.write_text(corpus_file.read_text().replace("cat", "dog"))
    expected = content(prepare(data, quiet))
    assert content(prepare(data, quiet, out=out))["train.npy"] == expected["train.npy"]


def test_directory_of_other_settings_is_not_taken(
    tmp_path: Path, corpus_file: Path, quiet: Display
) -> None:
    data = settings(corpus_file)
    prepare(data, quiet, out=Path("out"))
    assert prepare(data, quiet, out=Path("out")) == Path("out")
    with pytest.raises(ValueError, match="out exists, made from other text or with other settings"):
        prepare(dataclasses.replace(data, vocab_size=264), quiet, out=Path("out"))
