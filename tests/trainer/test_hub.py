"""The real client of the hub against a local server that stands in for it."""

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, serving

from trainer.display import Display
from trainer.hub import fetch

REPOSITORY, NAME = "owner/texts", "train.txt"
# What the client takes off the wire at a time.
BLOCK = 10 << 20
CONTENT = b"".join(b"line %d of the text\n" % n for n in range(5003))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    packed = gzip.compress(CONTENT, mtime=0)
    files = {f"{REPOSITORY}/{NAME}": CONTENT, f"{REPOSITORY}/train.txt.gz": packed}
    with serving(Hub(files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_file_arrives_whole_under_its_name(hub: Hub, tmp_path: Path, quiet: Display) -> None:
    path = fetch(REPOSITORY, NAME, tmp_path, quiet)
    assert (path, path.read_bytes()) == (tmp_path / NAME, CONTENT)
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path, quiet: Display) -> None:
    fetch(REPOSITORY, NAME, tmp_path, quiet)
    fetch(REPOSITORY, NAME, tmp_path, quiet)
    assert hub.ranges == [(NAME, 0)]


def test_broken_connection_is_taken_up_where_it_broke(
    tmp_path: Path, quiet: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = CONTENT * 130
    with serving(Hub({f"{REPOSITORY}/{NAME}": content}, break_at=BLOCK + 70_001)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert fetch(REPOSITORY, NAME, tmp_path, quiet).read_bytes() == content
    assert hub.ranges == [(NAME, 0), (NAME, BLOCK)]


def test_changed_file_is_fetched_again(hub: Hub, tmp_path: Path, quiet: Display) -> None:
    path = fetch(REPOSITORY, NAME, tmp_path, quiet)
    path.write_bytes(CONTENT.replace(b"7", b"8", 1))
    assert fetch(REPOSITORY, NAME, tmp_path, quiet).read_bytes() == CONTENT


def test_partial_file_of_another_content_is_not_taken_up(
    hub: Hub, tmp_path: Path, quiet: Display
) -> None:
    other = tmp_path / f".{NAME}.{'0' * 16}.partial"
    other.write_bytes(b"something else")
    assert fetch(REPOSITORY, NAME, tmp_path, quiet).read_bytes() == CONTENT
    assert not other.exists()


def test_bytes_of_another_hash_are_refused_and_thrown_away(
    hub: Hub, tmp_path: Path, quiet: Display
) -> None:
    hub.lie = True
    with pytest.raises(ValueError, match=r"train\.txt: .* not what the hub says it is"):
        fetch(REPOSITORY, NAME, tmp_path, quiet)
    assert list(tmp_path.iterdir()) == []


def test_fetched_file_is_enough_without_a_connection(
    hub: Hub, tmp_path: Path, quiet: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(REPOSITORY, NAME, tmp_path, quiet)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert fetch(REPOSITORY, NAME, tmp_path, quiet) == path


@pytest.mark.parametrize("name", ["nothing.txt", NAME])
def test_what_cannot_be_had_is_one_line_that_says_how_else(
    hub: Hub, tmp_path: Path, quiet: Display, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == NAME:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ConnectionError, match=f"{REPOSITORY}/{name} .* --from-files") as caught:
        fetch(REPOSITORY, name, tmp_path, quiet)
    assert "\n" not in str(caught.value)


def test_killed_download_goes_on_where_it_was(tmp_path: Path, quiet: Display) -> None:
    content = CONTENT * 250
    with serving(Hub({f"{REPOSITORY}/{NAME}": content}, pause_at=2 * BLOCK + 70_001)) as hub:
        script = (
            "import pathlib, sys; from trainer.display import Display;"
            "from trainer.hub import fetch;"
            f"fetch({REPOSITORY!r}, {NAME!r}, pathlib.Path(sys.argv[1]), Display())"
        )
        environment = os.environ | {"HF_ENDPOINT": hub.url}
        command = [sys.executable, "-c", script, str(tmp_path)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert hub.paused.wait(60)
        while not any(path.stat().st_size >= 2 * BLOCK for path in tmp_path.glob(".*.partial")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / NAME).exists()
        hub.pause_at = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_ENDPOINT", hub.url)
            assert fetch(REPOSITORY, NAME, tmp_path, quiet).read_bytes() == content
        assert [first for _, first in hub.ranges] == [0, 2 * BLOCK]
