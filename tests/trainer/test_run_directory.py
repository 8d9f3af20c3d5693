import dataclasses
import json
from pathlib import Path

import pytest

from trainer.config import DataConfig, TrainConfig
from trainer.run_directory import (
    RunDirectory,
    choose_directory,
    config_hash,
    cut_samples,
    different_settings,
    read_json,
    set_aside,
)


def test_new_runs_are_numbered(tmp_path: Path) -> None:
    names = [choose_directory(tmp_path / "runs", "tiny").name for _ in range(3)]
    assert names == ["tiny-001", "tiny-002", "tiny-003"]


def test_run_that_is_set_aside_keeps_its_files(tmp_path: Path) -> None:
    for content in "ab":
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "file").write_text(content)
        set_aside(tmp_path / "run")
    kept = [(tmp_path / f"run-old-00{n}" / "file").read_text() for n in (1, 2)]
    assert kept == ["a", "b"]


def logged(tmp_path: Path, steps: list[int]) -> RunDirectory:
    run = RunDirectory(tmp_path)
    for step in steps:
        run.append_metrics({"step": step})
        run.append_samples(step, [f"text {step}\n\n## Step 99"])
    return run


def test_cut_back_run_has_forgotten_what_came_after(tmp_path: Path) -> None:
    run = logged(tmp_path, [2, 3, 5, 7])
    run.cut_back(3)
    assert [row["step"] for row in run.read_metrics()] == [2, 3]
    assert "text 3" in run.samples.read_text()
    assert "text 5" not in run.samples.read_text()


def test_run_that_begins_has_no_logs(tmp_path: Path) -> None:
    run = logged(tmp_path, [0, 2])
    run.cut_back(0)
    assert run.samples.read_text() == ""
    assert [row["step"] for row in run.read_metrics()] == [0]


def test_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    run = logged(tmp_path, [2, 3])
    with run.metrics.open("a") as file:
        file.write('{"step": 5, "tra')
    assert [row["step"] for row in run.read_metrics()] == [2, 3]
    assert run.last_metrics() == {"step": 3}


def test_run_without_logs_has_no_last_metrics(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path).last_metrics() == {}


def test_text_of_a_sample_is_never_taken_for_a_section(tmp_path: Path) -> None:
    run = logged(tmp_path, [2])
    assert cut_samples(run.samples.read_text(), 5) == run.samples.read_text()


def begun(path: Path, config: TrainConfig) -> RunDirectory:
    run = RunDirectory(path)
    run.write_config(config)
    return run


def test_other_settings_are_named_with_both_values(tmp_path: Path) -> None:
    config = TrainConfig(batch_size=7)
    changed = dataclasses.replace(
        config, optimizer=dataclasses.replace(config.optimizer, lr=0.5), batch_size=11
    )
    assert different_settings(begun(tmp_path, config), changed) == [
        "batch_size=7 there and 11 here",
        "optimizer.lr=0.001 there and 0.5 here",
    ]


def test_setting_that_an_older_run_did_not_know_had_its_default(tmp_path: Path) -> None:
    run = begun(tmp_path, TrainConfig())
    older = run.read_config()
    del older["data"]["isolate_documents"]
    run.config.write_text(json.dumps(older))
    assert different_settings(run, TrainConfig()) == []
    isolating = TrainConfig(data=DataConfig(isolate_documents=True))
    assert different_settings(run, isolating) == [
        "data.isolate_documents=False there and True here"
    ]


def test_what_does_not_change_the_steps_may_change(tmp_path: Path) -> None:
    config = TrainConfig()
    free = dataclasses.replace(
        config,
        run_dir=tmp_path,
        max_steps=9999,
        log_every=3,
        eval=dataclasses.replace(config.eval, every=7),
        checkpoint=dataclasses.replace(config.checkpoint, keep=5),
    )
    assert different_settings(begun(tmp_path, config), free) == []
    assert config_hash(config) == config_hash(free)


@pytest.mark.parametrize("change", [{"seed": 1}, {"precision": "bf16"}, {"batch_size": 64}])
def test_what_changes_the_steps_changes_the_hash(change: dict[str, object]) -> None:
    config = TrainConfig()
    assert config_hash(config) != config_hash(dataclasses.replace(config, **change))  # type: ignore[arg-type]


def test_configuration_is_kept_as_json(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert not run.holds_run()
    run.write_config(TrainConfig(seed=13))
    assert run.holds_run()
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 13


@pytest.mark.parametrize(
    "content", ["{", "[]", "[" * 9001, None], ids=["cut", "list", "deep", "no file"]
)
def test_file_that_is_no_json_object_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=str(path)):
        read_json(path)
