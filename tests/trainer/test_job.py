"""The main job, small: from nothing, or from a text, to a model that writes."""

from pathlib import Path

import pytest
from trainer_jobs import SMALL_JOB, losses, record

from nn import TransformerLM
from trainer.cli import train_command
from trainer.presets import PRESETS
from trainer.run_directory import RunDirectory


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROUNDUP_TRACEBACK", raising=False)


def test_run_directory_holds_all_that_was_promised(finished: Path) -> None:
    names = {path.name for path in (finished / "runs/tiny-001").iterdir()}
    assert names == {
        "config.json",
        "run.json",
        "metrics.jsonl",
        "tokenizer",
        "checkpoints",
        "model",
        "samples.md",
        "curves.png",
    }


def test_output_tells_the_story(finished: Path) -> None:
    output = (finished / "output.txt").read_text()
    for word in ("Text", "Tokenizer", "Tokens", "Model", "Training", "Result", "Files", "Next"):
        assert word in output
    for text in (
        "perplexity",
        "sampling generate runs/tiny-001 --prompt",
        "--data.corpus FILE.txt",
    ):
        assert text in output


def test_last_line_compares_the_loss_with_the_floor(finished: Path) -> None:
    last = (finished / "output.txt").read_text().splitlines()[-1]
    result = record(finished / "runs/tiny-001")["result"]
    for key in ("val_loss", "entropy_floor", "above_floor"):
        assert f"{result[key]:.3f}" in last
    assert f"{result['bits_per_byte']:.4f} bits per byte" in last


def test_output_without_a_terminal_is_plain(finished: Path) -> None:
    assert "\x1b" not in (finished / "output.txt").read_text()


def test_resolved_configuration_is_written(finished: Path) -> None:
    config = RunDirectory(finished / "runs/tiny-001").read_config()
    assert config["max_steps"] == 6
    assert config["model"]["vocab_size"] == 300
    assert config["optimizer"]["name"] == PRESETS["tiny"].optimizer.name


def test_record_says_where_the_run_comes_from(finished: Path) -> None:
    found = record(finished / "runs/tiny-001")
    assert found["command"] == ["train", *SMALL_JOB]
    assert found["exit"] == "finished"
    assert found["started"] <= found["ended"]
    assert found["versions"]["torch"]
    assert found["machine"]["device"] == "cpu"
    assert found["data"]["sha256"]["tokenizer"]


def test_model_can_be_loaded(finished: Path) -> None:
    assert TransformerLM.load(finished / "runs/tiny-001/model").config.d_model == 16


def test_same_seed_gives_the_same_losses_in_another_process(finished: Path) -> None:
    assert train_command(SMALL_JOB) == 0
    assert losses(Path("runs/tiny-001")) == losses(finished / "runs/tiny-001")


def test_next_run_has_a_new_name_and_finds_its_data(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command(SMALL_JOB) == 0
    assert "made by an earlier run" in capsys.readouterr().out
    assert losses(Path("runs/tiny-002")) == losses(finished_run)


def test_own_text_is_trained_on_from_raw_text_to_samples(
    corpus_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command([*SMALL_JOB, "--data.corpus", str(corpus_file)]) == 0
    assert (Path("runs/cats-001") / "samples.md").read_text()
    assert "floor" not in capsys.readouterr().out.splitlines()[-1]


def test_prepared_tokens_are_trained_on(finished: Path) -> None:
    (tokens,) = (finished / "data").iterdir()
    flags = [*SMALL_JOB, "--data.tokens", str(tokens), "--run-dir", "run"]
    assert train_command(flags) == 0
    assert losses(Path("run")) == losses(finished / "runs/tiny-001")
    assert not Path("data").exists()


def test_byte_level_model_needs_no_merges() -> None:
    assert train_command([*SMALL_JOB, "--data.vocab-size", "257"]) == 0
    assert TransformerLM.load("runs/tiny-001/model").config.vocab_size == 257
