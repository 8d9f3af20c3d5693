import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console
from small_run import small_config

from trainer.display import Display, Meter
from trainer.loop import Outcome
from trainer.prepared import PreparedData
from trainer.raw_text import human_size
from trainer.run_directory import RunDirectory
from trainer.summary import human_count, human_time, show_outcome, verdict
from trainer.training_screen import TrainingScreen


def shown(*, terminal: bool, interval: float = 1000.0) -> tuple[Display, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80, highlight=False)
    return Display(console, plain_interval=interval), out


def test_title_waits_for_the_first_stage() -> None:
    display, out = shown(terminal=False)
    display.title("A run", "preset x")
    assert out.getvalue() == ""
    display.stage("Text", "is read")
    assert out.getvalue().split("\n")[1:] == ["A run  preset x", "", "1  Text       is read", ""]


def test_stages_are_numbered() -> None:
    display, out = shown(terminal=False)
    display.stage("One", "a")
    display.stage("Two", "b")
    assert [line[0] for line in out.getvalue().splitlines()] == ["1", "2"]


def test_plain_output_has_no_control_codes() -> None:
    display, out = shown(terminal=False)
    display.title("A run", "x")
    display.stage("One", "[red]a[/red]")
    display.sample("step 3", "once [bold]upon[/bold] a time")
    with display.progress("working", 3) as meter:
        meter.update(2)
    assert "\x1b" not in out.getvalue()
    assert "[bold]upon[/bold]" in out.getvalue()


def test_long_sample_is_cut_between_words() -> None:
    display, out = shown(terminal=False)
    display.sample("x", "word " * 100, limit=50)
    assert out.getvalue().rstrip().endswith("word ...")


def test_sample_keeps_its_lines_but_empty_ones() -> None:
    display, out = shown(terminal=False)
    display.sample("x", "O Romeo,\n\nwherefore\n  art thou")
    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "x  O Romeo,",
        "wherefore",
        "art thou",
    ]


def test_sample_cannot_command_the_terminal() -> None:
    display, out = shown(terminal=False)
    display.sample("x", "a\x1b[31mb\x07c")
    assert out.getvalue().split() == ["x", "a\ufffd[31mb\ufffdc"]


def test_command_is_never_broken_over_lines() -> None:
    display, out = shown(terminal=True)
    command = "uv run something " + "--flag value " * 20
    display.command(command.strip(), "do it")
    assert command.strip() in out.getvalue()


@pytest.mark.parametrize(("interval", "lines"), [(0.0, 4), (1000.0, 0)])
def test_plain_progress_is_a_line_now_and_then(interval: float, lines: int) -> None:
    display, out = shown(terminal=False, interval=interval)
    with display.progress("working", 4) as meter:
        for done in range(1, 5):
            meter.update(done, f"note {done}")
    found = [line.split() for line in out.getvalue().splitlines()]
    expected = [["working", f"{25 * n}%", "note", f"{n}"] for n in range(1, 5)]
    assert found == expected[:lines]


def test_progress_on_a_terminal_leaves_nothing_behind() -> None:
    display, out = shown(terminal=True)
    with display.progress("working", 4) as meter:
        meter.update(2)
    # The last thing is to wipe the line out.
    assert out.getvalue().rstrip("\n").endswith("\x1b[2K")


def test_meter_counts_what_is_added() -> None:
    meter = Meter(Console(file=io.StringIO()), "x", 10, 1000.0)
    meter.advance(3)
    meter.advance(4)
    assert meter.done == 7


def test_training_screen_shows_the_numbers_of_the_moment() -> None:
    display, out = shown(terminal=False, interval=0.0)
    with TrainingScreen(display, 9, 0) as screen:
        screen.step(3)
        screen.numbers({"train_loss": 1.25, "tokens_per_second": 12345.6})
        screen.evaluation({"step": 3, "train_loss": 1.25, "val_loss": 1.5})
        screen.step(4)
    last = out.getvalue().splitlines()[-1]
    assert last.split() == [
        "training",
        "44%",
        "4/9",
        "loss",
        "1.250",
        "val",
        "1.500",
        "12,346",
        "tokens/s",
    ]


def test_verdict_compares_with_the_floor_in_both_units() -> None:
    result = {
        "val_loss": 0.5,
        "bits_per_byte": 0.25,
        "entropy_floor": 0.4,
        "entropy_floor_bits_per_byte": 0.2,
        "above_floor": 0.1,
    }
    text = verdict(result)
    for number in ("0.500 nats per token", "0.2500 bits per byte", "0.400", "0.2000", "0.100"):
        assert number in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("number", "text"),
    [(7, "7"), (12_345, "12,345"), (1_120_000, "1.12 million"), (3e9, "3 billion")],
)
def test_counts_are_said_as_people_say_them(number: float, text: str) -> None:
    assert human_count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "7 s"), (2.5, "3 s"), (92, "1 min 32 s"), (7300, "2 h 1 min")]
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert human_time(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(999, "999 bytes"), (8_100_000, "8.1 MB"), (12e9, "12.0 GB")]
)
def test_sizes_are_said_as_people_say_them(size: float, text: str) -> None:
    assert human_size(size) == text


def test_time_on_the_screen_is_that_of_the_log(tmp_path: Path, byte_data: PreparedData) -> None:
    display, out = shown(terminal=False)
    config = dataclasses.replace(small_config(), run_dir=tmp_path)
    outcome = Outcome(7, 77, 92.46, 1.5, 1.25, ())
    result = show_outcome(display, config, RunDirectory(tmp_path), byte_data, outcome)
    (line,) = [line for line in out.getvalue().splitlines() if line.split()[:1] == ["time"]]
    # Rounded to tenths for the record first, and then to seconds.
    assert human_time(result["seconds"]) == "1 min 33 s"
    assert "1 min 33 s" in line
