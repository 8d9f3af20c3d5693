import contextlib
import dataclasses
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from past_runs import write_run

from trainer.cli import main
from trainer.config import TrainConfig
from trainer.log import describe_run
from trainer.log.document import END_OF_NOTES, NOTES, renew_log
from trainer.past_run import PastRun, find_past_runs, read_past_run
from trainer.presets import PRESETS

TIMES = {name: f"2026-11-{day:02d}T08:00:00+00:00" for name, day in (("a", 2), ("b", 5), ("c", 3))}


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def log() -> Path:
    """The log of three runs, as the command writes it."""
    for name, started in TIMES.items():
        config = TrainConfig(objective=f"what {name} is for")
        write_run(Path("runs") / name, config, started=started)
    assert main(["log"]) == 0
    return Path("experiments.md")


def headings(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("## ")]


def write_note(log: Path, heading: str, note: str) -> None:
    """Write between the notes of a section, as a person would."""
    head, tail = log.read_text().split(f"{heading}\n", 1)
    log.write_text(f"{head}{heading}\n" + tail.replace(NOTES, f"{NOTES}\n{note}", 1))


def test_newest_run_comes_first(log: Path) -> None:
    assert headings(log) == ["## b", "## c", "## a"]


def test_one_run_is_counted_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/a"), TrainConfig())
    main(["log"])
    assert capsys.readouterr().out == "experiments.md: 1 run\n"


def test_run_that_went_on_stays_where_it_began(log: Path) -> None:
    first = {"started": TIMES["a"]}
    shutil.rmtree("runs/a")
    write_run(Path("runs/a"), TrainConfig(), started="2026-11-30T08:00:00+00:00", earlier=first)
    main(["log"])
    assert headings(log) == ["## b", "## c", "## a"]


def test_section_says_what_was_tried_and_what_came_out(tmp_path: Path) -> None:
    config = dataclasses.replace(
        PRESETS["tiny"],
        objective="is less enough?",
        optimizer=dataclasses.replace(PRESETS["tiny"].optimizer, lr=0.5),
    )
    path = write_run(tmp_path / "a", config)
    (path / "conclusion.md").write_text("Yes.\n\n<!-- notes -->\n")
    assert describe_run(read_past_run(path)) == (
        "## a\n\n"
        "20 November 2026, 08:00 UTC · finished\n\n"
        "**Objective:** is less enough?\n\n"
        "**Result:** validation loss 1.500 nats per token = 0.7500 bits per byte; entropy of "
        "the text 0.400 = 0.2000: 1.100 above the floor; after 23 steps, 161 tokens, 12 s\n\n"
        "**Settings:** `optimizer.lr` 0.5 (preset: 0.01)\n\n"
        "    train --optimizer.lr 0.5 --objective 'a b'\n\n"
        "**From:** commit `0123456789abcdef0123456789abcdef01234567`, a processor, 2 cores, cpu, "
        "preset tiny\n\n"
        "**Concluded:**\n\n"
        "> Yes.\n>\n> <!-- notes -->"
    )


def test_half_a_second_is_rounded_up(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", TrainConfig(), result={"val_loss": 1.0, "seconds": 244.5})
    assert "4 min 5 s" in describe_run(read_past_run(path))


def test_run_that_did_not_finish_says_how_far_it_came(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", TrainConfig(), steps=7, exit="failed: ValueError('x\ny')")
    text = describe_run(read_past_run(path))
    assert "failed: ValueError('x y')" in text
    assert "at step 7" in text


def test_each_loss_stands_with_the_step_that_it_was_measured_at(tmp_path: Path) -> None:
    run = read_past_run(write_run(tmp_path / "a", TrainConfig(), steps=7, exit="killed"))
    train, val = run.rows[6]["train_loss"], run.rows[4]["val_loss"]
    expected = f"training loss {train:.3f} at step 7, validation loss {val:.3f} at step 5"
    assert f"**Result:** {expected}\n" in describe_run(run)


def test_log_is_the_same_when_nothing_has_changed(log: Path) -> None:
    write_note(log, "## c", "a note")
    main(["log"])
    before = log.read_bytes()
    main(["log"])
    assert log.read_bytes() == before


def test_notes_are_kept_when_the_run_has_changed(log: Path) -> None:
    write_note(log, "## c", "Look at the *gradients*.\n\n  indented")
    main(["log", "conclude", "runs/c", "It works."])
    main(["log"])
    section = log.read_text().split("## c\n")[1].split("## a\n")[0]
    assert f"{NOTES}\nLook at the *gradients*.\n\n  indented\n{END_OF_NOTES}" in section
    assert "> It works." in section


def test_notes_of_the_head_are_kept(log: Path) -> None:
    write_note(log, "# Experiment log", "We study rates.")
    main(["log"])
    assert log.read_text().index("We study rates.") < log.read_text().index("## b")


def test_section_of_a_run_that_is_gone_stays(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_note(log, "## c", "a note")
    before = log.read_text()
    shutil.rmtree("runs/c")
    main(["log"])
    assert log.read_text() == before
    assert "2 runs; kept 1 whose directories are gone" in capsys.readouterr().out


def test_notes_follow_a_run_that_was_renamed(log: Path) -> None:
    write_note(log, "## c", "a note")
    Path("runs/c").rename("runs/c-old-001")
    write_run(Path("runs/c"), TrainConfig(), started="2026-11-28T08:00:00+00:00")
    main(["log"])
    assert headings(log) == ["## c", "## b", "## c-old-001", "## a"]
    assert "a note" in log.read_text().split("## c-old-001")[1].split("## a")[0]
    assert log.read_text().count("a note") == 1


def test_runs_begun_in_the_same_second_keep_their_own_notes(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_run(Path("sweep") / name, TrainConfig())
    main(["log", "--runs", "sweep"])
    write_note(Path("experiments.md"), "## x", "about x")
    main(["log", "--runs", "sweep"])
    assert "about x" in Path("experiments.md").read_text().split("## x")[1]


def test_log_may_be_written_from_another_directory(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = log.read_text()
    monkeypatch.chdir(tmp_path / "runs")
    main(["log", "--runs", ".", "--out", "../experiments.md"])
    assert (tmp_path / "experiments.md").read_text() == before


def test_two_versions_of_a_section_become_one_with_both_notes(log: Path) -> None:
    text = log.read_text()
    log.write_text(text + text[text.index("<!-- run") :].replace(NOTES, f"{NOTES}\ntheirs"))
    main(["log"])
    assert headings(log) == ["## b", "## c", "## a"]
    assert log.read_text().count("theirs") == 3


def test_bytes_that_are_no_text_are_kept(log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(NOTES.encode(), NOTES.encode() + b"\n\xff\xfe", 1))
    main(["log"])
    assert b"\n\xff\xfe\n" in log.read_bytes()


SOMETHING = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)


@pytest.fixture(scope="module")
def three_runs(tmp_path_factory: pytest.TempPathFactory) -> list[PastRun]:
    root = tmp_path_factory.mktemp("runs")
    for name, started in TIMES.items():
        write_run(root / name, TrainConfig(), started=started)
    return find_past_runs(root)


@given(
    written=st.lists(st.tuples(st.integers(0, 60), SOMETHING), max_size=7),
    marks=st.lists(st.tuples(st.integers(0, 60), st.sampled_from([NOTES, END_OF_NOTES, ""]))),
    deleted=st.lists(st.integers(0, 60), max_size=5),
)
def test_nothing_that_a_person_writes_anywhere_is_lost(
    three_runs: list[PastRun],
    written: list[tuple[int, str]],
    marks: list[tuple[int, str]],
    deleted: list[int],
) -> None:
    text, _ = renew_log("", Path("log.md"), three_runs)
    lines = [line for place, line in enumerate(text.split("\n")) if place not in deleted]
    for place, line in marks:
        lines.insert(place, line)
    by_a_person = [f"me: {line}" for _, line in written]
    for (place, _), line in zip(written, by_a_person, strict=True):
        lines.insert(place, line)
    text = "\n".join(lines)
    for _ in range(2):
        # Without any of its comments it is no log, and left as it is.
        with contextlib.suppress(ValueError):
            text, _ = renew_log(text, Path("log.md"), three_runs[1:])
    assert set(by_a_person) <= set(text.split("\n"))


def test_conclusions_are_added_and_never_replaced(log: Path) -> None:
    for text in ("First.", "Second."):
        assert main(["log", "conclude", "runs/a", text]) == 0
    assert Path("runs/a/conclusion.md").read_text() == "First.\n\nSecond.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runs", "nowhere"], "nowhere: no such directory"),
        (["--runs", "empty"], "empty: no runs here; `train` makes them"),
        (["--out", "mine.md"], "mine.md is no experiment log: give another file by --out"),
        (["conclude", "nowhere", "text"], "nowhere: no such run directory"),
        (["conclude", "runs/a", " "], 'nothing is concluded: trainer log conclude RUN "TEXT"'),
        (["conclude"], "RUN is missing"),
        (["concluded"], "unexpected argument 'concluded'"),
    ],
)
def test_bad_input_is_one_line(
    log: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    Path("mine.md").write_text("a diary\n")
    before = log.read_text()
    capsys.readouterr()
    assert main(["log", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert Path("mine.md").read_text() == "a diary\n"
    assert log.read_text() == before
