"""Jobs take turns, leave when they end, and are refused when there is no room."""

import queue
import threading
from collections.abc import Iterator

import pytest

from sampling.stopping import Piece
from sampling.turns import BusyError, Event, Job, Turns


def pieces(count: int, started: threading.Event | None = None) -> Iterator[tuple[int, Piece]]:
    for number in range(count):
        if started is not None:
            started.wait(10)
        yield 0, Piece([number], b"", None)


def tokens_of(events: "queue.Queue[tuple[str, Event]]", count: int) -> list[tuple[str, int | None]]:
    """Return the next events as pairs of job and token, None for an end."""
    found = []
    for _ in range(count):
        name, event = events.get(timeout=10)
        assert not isinstance(event, Exception)
        found.append((name, None if event is None else event[1].tokens[0]))
    return found


def test_jobs_take_turns_token_by_token() -> None:
    events: queue.Queue[tuple[str, Event]] = queue.Queue()
    started = threading.Event()
    with Turns(room=2) as turns:
        turns.submit(Job(pieces(3, started), lambda event: events.put(("a", event))))
        turns.submit(Job(pieces(2, started), lambda event: events.put(("b", event))))
        started.set()
        seen = tokens_of(events, 7)
    assert [token for name, token in seen if name == "a"] == [0, 1, 2, None]
    assert [token for name, token in seen if name == "b"] == [0, 1, None]
    # The first job may be one token ahead: it was alone when it began.
    assert seen.index(("b", 0)) <= 2
    assert seen.index(("b", 1)) <= 4


def test_job_without_room_is_refused_until_another_ends() -> None:
    events: queue.Queue[tuple[str, Event]] = queue.Queue()
    started = threading.Event()
    with Turns(room=1) as turns:
        turns.submit(Job(pieces(1, started), lambda event: events.put(("a", event))))
        with pytest.raises(BusyError, match="1 texts are being written already: try again later"):
            turns.submit(Job(pieces(1), lambda event: None))
        started.set()
        assert tokens_of(events, 2) == [("a", 0), ("a", None)]
        submit_when_free(turns, Job(pieces(1), lambda event: events.put(("b", event))))
        assert tokens_of(events, 2) == [("b", 0), ("b", None)]


def submit_when_free(turns: Turns, job: Job) -> None:
    """Submit `job` as soon as the job that delivered its last event has also left."""
    for _ in range(1000):
        try:
            return turns.submit(job)
        except BusyError:
            threading.Event().wait(0.01)
    raise AssertionError("the first job never left")


def test_error_reaches_the_one_who_waits_and_no_other() -> None:
    def broken() -> Iterator[tuple[int, Piece]]:
        yield 0, Piece([7], b"", None)
        raise ValueError("weights are damaged")

    bad: queue.Queue[Event] = queue.Queue()
    good: queue.Queue[Event] = queue.Queue()
    with Turns(room=2) as turns:
        turns.submit(Job(broken(), bad.put))
        turns.submit(Job(pieces(3), good.put))
        assert isinstance(bad.get(timeout=10), tuple)
        assert str(bad.get(timeout=10)) == "weights are damaged"
        assert [good.get(timeout=10) is None for _ in range(4)] == [False, False, False, True]


def test_cancelled_job_makes_room() -> None:
    started = threading.Event()
    endless: Iterator[tuple[int, Piece]] = pieces(10**9, started)
    events: queue.Queue[tuple[str, Event]] = queue.Queue()
    with Turns(room=1) as turns:
        job = Job(endless, lambda event: None)
        turns.submit(job)
        started.set()
        job.cancel()
        submit_when_free(turns, Job(pieces(1), lambda event: events.put(("b", event))))
        assert tokens_of(events, 2) == [("b", 0), ("b", None)]
