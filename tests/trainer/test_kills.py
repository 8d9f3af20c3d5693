"""Real processes, really killed: while they train, at every call to the system, at any byte."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from warm_process import WarmPair


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[dict[str, str]]]:
    """Two empty directories, as arguments of a call; in memory where that can be had.

    A killed process does not lose what it wrote; what a disk does with it only takes time.
    """
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else tmp_path))
    for name in "ab":
        (root / name).mkdir()
    yield [{"root": str(root / name)} for name in "ab"]
    shutil.rmtree(root)


def check_kills(warm: WarmPair, places: list[dict[str, str]], kills: int) -> None:
    each = [place | {"kills": kills // 2, "seed": seed} for seed, place in enumerate(places)]
    for outcome in warm.call("kills.kill_while_training", *each):
        assert outcome["lost"] == 0
        # Without these the kills would have fallen beside the saves.
        assert outcome["cut_off"] > 0
        assert outcome["reached"] > kills // 4
        assert outcome["same"]


def test_killed_run_loses_no_more_than_the_work_since_its_last_save(
    warm: WarmPair, places: list[dict[str, str]]
) -> None:
    check_kills(warm, places, 200)


@pytest.mark.long
def test_run_killed_two_thousand_times_loses_nothing(
    warm: WarmPair, places: list[dict[str, str]]
) -> None:
    check_kills(warm, places, 2000)


def test_same_kills_destroy_a_checkpoint_that_is_written_in_place(
    warm: WarmPair, places: list[dict[str, str]]
) -> None:
    each = [place | {"kills": 200, "seed": 3, "in_place": True} for place in places]
    outcomes = warm.call("kills.kill_while_training", *each)
    assert [outcome["lost"] for outcome in outcomes] == [1, 1]


def test_crash_at_any_byte_or_call_leaves_this_step_or_the_one_before(
    warm: WarmPair, places: list[dict[str, str]]
) -> None:
    each = [place | {"offsets": 1000, "part": n, "parts": 2} for n, place in enumerate(places)]
    outcomes = warm.call("kills.crash_while_saving", *each)
    assert sum(outcome["byte"] for outcome in outcomes) >= 1000
    assert sum(outcome["call"] for outcome in outcomes) > 50
    assert sum(outcome["kill"] for outcome in outcomes) >= 20
    for outcome in outcomes:
        assert outcome["bad"] == []


def test_some_checkpoint_and_the_best_outlive_every_mishap(
    warm: WarmPair, places: list[dict[str, str]]
) -> None:
    each = [place | {"sequences": 150, "seed": 7 + n} for n, place in enumerate(places)]
    assert warm.call("kills.random_lives", *each) == [[], []]
