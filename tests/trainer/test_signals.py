"""A signal ends a run after it has been saved, wherever the run is."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from trainer_jobs import SMALL_JOB, record, start
from warm_process import WarmPair

from trainer.run_directory import RunDirectory
from trainer.signals import StopRequested, StopSignals

FLAGS = [*SMALL_JOB, "--batch-size=3", "--gradient-accumulation=3"]


def check_signals(finished: Path, tmp_path: Path, warm: WarmPair, rounds: int) -> None:
    (tokens,) = (finished / "data").iterdir()
    root, flags = str(tmp_path), [*FLAGS, f"--data.tokens={tokens}"]
    aside = tmp_path / "aside"
    aside.mkdir()
    calls = [{"root": place, "flags": flags} for place in (root, str(aside))]
    assert warm.call("signalled.train_whole", *calls) == [0, 0]
    shutil.rmtree(aside)
    each = {"root": root, "flags": flags, "parts": 2, "rounds": rounds}
    parts = [each | {"part": part} for part in (0, 1)]
    assert warm.call("signalled.signal_everywhere", *parts) == [[], []]


def test_signal_in_any_phase_saves_and_ends_and_loses_nothing(
    finished: Path, tmp_path: Path, warm: WarmPair
) -> None:
    check_signals(finished, tmp_path, warm, rounds=1)


@pytest.mark.long
def test_two_hundred_signals_save_and_end_and_lose_nothing(
    finished: Path, tmp_path: Path, warm: WarmPair
) -> None:
    check_signals(finished, tmp_path, warm, rounds=4)


def test_signal_while_data_is_prepared_leaves_nothing_behind(tmp_path: Path) -> None:
    process = start("--data.stories-bytes=5000000", "--run-dir=run", cwd=tmp_path)
    while not (tmp_path / "data").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143
    assert errors == "train: SIGTERM: stopped; nothing is lost\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["data"]


def test_interrupted_run_says_how_it_goes_on(finished: Path, tmp_path: Path) -> None:
    (tokens,) = (finished / "data").iterdir()
    flags = [*SMALL_JOB, f"--data.tokens={tokens}", "--max-steps=100000", "--run-dir=run"]
    process = start(*flags, cwd=tmp_path)
    while len(list(RunDirectory(tmp_path / "run").read_metrics())) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130
    (line,) = errors.splitlines()
    assert line.startswith("train: SIGINT: saved step ")
    assert output.rstrip().endswith("train --run-dir run")
    assert record(tmp_path / "run")["exit"] == "interrupted"


def test_signal_is_noted_while_deferred_and_raised_when_asked() -> None:
    with StopSignals() as stop, stop.deferred():
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(StopRequested, match="SIGUSR1") as caught:
            stop.check()
    assert caught.value.exit_status == 138


def test_signal_is_raised_at_once_where_nothing_is_to_be_saved() -> None:
    with StopSignals(), pytest.raises(StopRequested, match="SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_second_interrupt_is_left_to_the_kernel() -> None:
    with StopSignals() as stop, stop.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_are_those_of_before_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def look() -> None:
        with StopSignals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
