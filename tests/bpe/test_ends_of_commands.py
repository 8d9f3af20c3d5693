"""However a command is ended, it says so in one line and leaves nothing half done."""

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from bpe_command import BPE, TEXT, TRAIN, listing

pytestmark = pytest.mark.usefixtures("directory_with_text")


# Takes for ever on a row of letters: every way to cut it is tried.
ENDLESS = "(?:a|a|aa)+b|."


@pytest.mark.usefixtures("trained_here")
def test_no_room_is_exit_4_and_leaves_nothing() -> None:
    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1009, 1009))

    before = listing()
    arguments = ["encode", "tok", "corpus.txt", "--out", "ids.npy"]
    finished = subprocess.run(
        [*BPE, *arguments], preexec_fn=limit_file_size, capture_output=True, check=False
    )
    assert (finished.returncode, listing()) == (4, before)
    assert finished.stderr.decode().splitlines()[-1].startswith("bpe: ids.npy: cannot write")


def test_killed_worker_is_exit_4_within_seconds() -> None:
    Path("corpus.txt").write_text("a" * 101)
    arguments = [*TRAIN, "--workers", "2", "--pattern", ENDLESS]
    with subprocess.Popen([*BPE, *arguments], stderr=subprocess.PIPE) as process:
        worker = wait_for_worker(process.pid)
        start = time.monotonic()
        worker.kill()
        _, told = process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert process.returncode == 4
    assert told.decode().splitlines()[-1].startswith("bpe: one of 2 worker processes died")
    assert not Path("tok").exists()


def test_ctrl_c_ends_busy_workers_in_one_line() -> None:
    Path("corpus.txt").write_text("a" * 101)
    arguments = [*TRAIN, "--workers", "2", "--pattern", ENDLESS]
    with subprocess.Popen(
        [*BPE, *arguments], stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        worker = wait_for_worker(process.pid)
        start = time.monotonic()
        # To all of them, as a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert (process.returncode, told) == (128 + signal.SIGINT, b"bpe: interrupted\n")
    _, alive = psutil.wait_procs([worker], timeout=5)
    assert not alive


def wait_for_worker(pid: int) -> psutil.Process:
    while True:
        for child in psutil.Process(pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                return child
        time.sleep(0.01)


@pytest.mark.usefixtures("trained_here")
def test_sigterm_leaves_no_partial_file() -> None:
    fifo = Path("fifo")
    os.mkfifo(fifo)
    before = listing()
    with (
        subprocess.Popen(
            [*BPE, "encode", "tok", "fifo", "--out", "ids.npy"], stderr=subprocess.DEVNULL
        ) as process,
        fifo.open("wb") as writer,
    ):
        writer.write(TEXT.encode())
        writer.flush()
        while listing() == before:
            time.sleep(0.01)
        process.terminate()
        process.wait(timeout=60)
    assert (process.returncode, listing()) == (128 + signal.SIGTERM, before)


@pytest.mark.usefixtures("trained_here")
def test_reader_that_leaves_ends_the_command_quietly() -> None:
    with subprocess.Popen(
        [*BPE, "encode", "tok", "corpus.txt"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
