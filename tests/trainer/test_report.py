"""What `trainer report` writes, read without a browser."""

import base64
import dataclasses
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from past_runs import metrics_row, write_run

from trainer.cli import main
from trainer.config import TrainConfig
from trainer.past_run import PastRun, read_past_run, split_samples
from trainer.report import report_data, report_html
from trainer.report.data import MAX_ROWS, columns, thin
from trainer.report.figures import draw_run
from trainer.report.ranking import ranks
from trainer.run_directory import RunDirectory


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def data_of(page: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert match
    content: dict[str, Any] = json.loads(match[1])
    return content


def past_run(path: Path) -> PastRun:
    return read_past_run(write_run(path, TrainConfig()))


def test_page_holds_every_logged_value(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("a"), TrainConfig(seed=3), steps=11)
    write_run(Path("b"), TrainConfig(seed=5), steps=13)
    assert main(["report", "a", "b"]) == 0
    runs = data_of(Path("report.html").read_text())["runs"]
    assert [run["name"] for run in runs] == ["a", "b"]
    lr = TrainConfig().optimizer.lr
    for run, steps in zip(runs, (11, 13), strict=True):
        rows = [metrics_row(step, lr) for step in range(1, steps + 1)]
        for key in ("step", "seconds", "train_loss", "val_loss", "grad_norm"):
            expected = [row.get(key) for row in rows]
            assert run["columns"][key] == [
                value if value is None else pytest.approx(value, rel=1e-6) for value in expected
            ]
    files = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert files == ["report.html", "report-steps.png", "report-seconds.png"]


def test_pictures_are_large_enough_to_print() -> None:
    write_run(Path("a"), TrainConfig())
    main(["report", "a", "--out", "papers/a.html"])
    for name in ("steps", "seconds"):
        picture = imread(f"papers/a-{name}.png")
        assert picture.shape[:2] == (1020, 1650)
        assert picture[..., :3].min() < 0.5


def test_pictures_of_two_runs_show_both() -> None:
    for name in ("a", "b"):
        write_run(Path(name), TrainConfig(), steps=11 if name == "a" else 23)
    main(["report", "a", "--out", "one.html"])
    main(["report", "a", "b", "--out", "two.html"])
    assert (imread("one-steps.png") != imread("two-steps.png")).any()


def test_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    page = report_html(report_data([past_run(tmp_path / "a")]))
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe)|\bsrc=|@import|url\(http", page)


def test_policy_admits_the_script_of_the_page_alone(tmp_path: Path) -> None:
    page = report_html(report_data([past_run(tmp_path / "a")]))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page


def test_nothing_in_a_run_can_end_the_data(tmp_path: Path) -> None:
    run = dataclasses.replace(past_run(tmp_path / "a"), conclusion="</script><!--<script>&amp;")
    page = report_html(report_data([run]))
    assert page.count("</script>") == 2
    assert data_of(page)["runs"][0]["conclusion"] == run.conclusion


def test_name_of_a_run_is_no_markup(tmp_path: Path) -> None:
    page = report_html(report_data([past_run(tmp_path / "<b>&")]))
    assert "<title>&lt;b&gt;&amp;</title>" in page


def test_value_that_is_no_number_is_missing() -> None:
    found = columns([{"step": 1, "loss": math.nan}, {"step": 2, "loss": 3.0, "skipped": True}])
    assert found == {"step": [1, 2], "loss": [None, 3.0]}


def test_long_run_is_thinned_but_keeps_its_evaluations_and_its_end() -> None:
    count = 3 * MAX_ROWS + 7
    rows = [
        {"step": step} | ({"val_loss": 1.0} if step % 997 == 0 else {}) for step in range(count)
    ]
    steps = [row["step"] for row in thin(rows)]
    assert len(steps) < MAX_ROWS + count // 997 + 2
    assert steps == sorted(set(steps))
    assert {*range(0, count, 997), count - 1} <= set(steps)


def test_short_run_is_not_thinned() -> None:
    rows = [{"step": step} for step in range(MAX_ROWS)]
    assert thin(rows) == rows


def test_runs_named_alike_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    runs = [past_run(tmp_path / place / "tiny-001") for place in ("x", "y")]
    names = [run["name"] for run in report_data(runs)["runs"]]
    assert names == [str(tmp_path / place / "tiny-001") for place in ("x", "y")]


def test_origin_names_command_commit_and_machine(tmp_path: Path) -> None:
    (run,) = report_data([past_run(tmp_path / "a")])["runs"]
    assert run["origin"]["command"] == "train --optimizer.lr 0.001 --objective 'a b'"
    assert run["origin"]["commit"] == "0123456789abcdef0123456789abcdef01234567"
    assert run["origin"]["cpu"] == "a processor"
    assert run["versions"]["torch"] == "2.15.0"


def test_run_that_has_not_ended_is_reported(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", TrainConfig(), steps=7, exit="running")
    (path / "run.json").unlink()
    (run,) = report_data([read_past_run(path)])["runs"]
    expected = metrics_row(5, TrainConfig().optimizer.lr)["val_loss"]
    assert run["val_loss"] == pytest.approx(expected, rel=1e-6)
    assert run["exit"] == "unknown"


def ranked(
    path: Path, bits: float, *, valid: str, tokenizer: str = "t", size: int = 101
) -> PastRun:
    """Return a run that was measured on given data: its loss is 7 less its bits per byte."""
    hashes = {"tokenizer": tokenizer, "valid_tokens": valid}
    data = {"train_bytes": 997, "valid_bytes": size, "sha256": hashes}
    result = {"val_loss": 7 - bits, "bits_per_byte": bits}
    return read_past_run(write_run(path, TrainConfig(), data=data, result=result))


def test_runs_on_the_same_tokens_are_ranked_by_their_losses(tmp_path: Path) -> None:
    runs = [ranked(tmp_path / name, bits, valid="v") for name, bits in (("a", 2.0), ("b", 5.0))]
    assert ranks(runs) == [{"behind": 3.0, "unit": ""}, {"behind": 0.0, "unit": ""}]


def test_runs_of_different_tokenizers_are_ranked_by_bits_per_byte(tmp_path: Path) -> None:
    a = ranked(tmp_path / "a", 2.0, valid="v", tokenizer="t")
    b = ranked(tmp_path / "b", 5.0, valid="w", tokenizer="u")
    unit = "bits per byte"
    assert ranks([a, b]) == [{"behind": 0.0, "unit": unit}, {"behind": 3.0, "unit": unit}]


@pytest.mark.parametrize(("tokenizer", "size"), [("t", 101), ("u", 103)])
def test_runs_on_different_text_are_not_ranked(tmp_path: Path, tokenizer: str, size: int) -> None:
    a = ranked(tmp_path / "a", 2.0, valid="v")
    b = ranked(tmp_path / "b", 5.0, valid="w", tokenizer=tokenizer, size=size)
    assert ranks([a, b]) == [None, None]


def test_runs_on_unknown_data_are_not_ranked(tmp_path: Path) -> None:
    assert ranks([past_run(tmp_path / "a"), past_run(tmp_path / "b")]) == [None, None]


def test_time_of_a_finished_run_is_that_of_its_result(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a", TrainConfig(), result={"seconds": 13.7})
    (run,) = report_data([read_past_run(path)])["runs"]
    assert run["last"]["seconds"] == 13.7


def test_samples_are_taken_apart_as_they_were_written(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    written = {0: ["a\n\n## Step 5\n---\nb"], 3: ["c", "  d\n    e"]}
    for step, texts in written.items():
        run.append_samples(step, texts)
    found = split_samples(run.samples.read_text())
    assert {step: list(texts) for step, texts in found} == written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "trainer report needs runs: trainer report RUN..."),
        (["nowhere"], "nowhere: no such run directory"),
        (["."], ".: holds no run: no config.json"),
        (["a", "a"], "a is given twice"),
        (["empty"], "empty: nothing has been logged yet"),
        (["a", "--out", "report.pdf"], "the name of the page ends in .html"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(Path("a"), TrainConfig(), steps=2)
    (write_run(Path("empty"), TrainConfig(), steps=2) / "metrics.jsonl").unlink()
    assert main(["report", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not Path("report.html").exists()


def test_pictures_show_the_training_loss_as_it_was_logged(tmp_path: Path) -> None:
    run = read_past_run(write_run(tmp_path / "a", TrainConfig(), steps=83))
    axes = Figure().subplots()
    draw_run(axes, run, "step", 0)
    logged = [row["train_loss"] for row in run.rows]
    assert any(np.array_equal(line.get_ydata(), logged) for line in axes.lines)
