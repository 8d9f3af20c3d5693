"""`trainer prepare` as a user calls it: from the hub and from files, and on to training."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hub_server import Hub, serving
from trainer_jobs import SMALL_MODEL, record

from trainer.cli import main, train_command
from trainer.presets import PRESETS

STORIES, OWT = "roneneldan/TinyStories", "stanford-cs336/owt-sample"


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text(seed: int, words: int) -> str:
    drawn = np.random.default_rng(seed).choice(["the", "cat", "sat", "on", "a", "mat"], words)
    stories = (" ".join(drawn[n : n + 50]) for n in range(0, words, 50))
    return "".join(f"{story}.\n<|endoftext|>\n" for story in stories)


TRAIN, VALID = text(1, 6007), text(2, 1009)
FILES = {
    f"{STORIES}/TinyStoriesV2-GPT4-train.txt": TRAIN.encode(),
    f"{STORIES}/TinyStoriesV2-GPT4-valid.txt": VALID.encode(),
    f"{OWT}/owt_train.txt.gz": gzip.compress(TRAIN.encode(), mtime=0),
    f"{OWT}/owt_valid.txt.gz": gzip.compress(VALID.encode(), mtime=0),
}


@pytest.mark.parametrize("name", ["tinystories", "owt"])
def test_texts_of_the_course_become_the_tokens_of_their_presets(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Hub(FILES)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert main(["prepare", name, "--vocab-size", "263"]) == 0
    out = capsys.readouterr().out
    assert f"train {name} --data.tokens data/{name}" in out
    assert "bytes each" in out
    Path("train.txt").write_text(TRAIN)
    Path("valid.txt").write_text(VALID)
    flags = ["--from-files", "train.txt", "--val-files", "valid.txt", "--vocab-size", "263"]
    assert main(["prepare", *flags, "--out", "local"]) == 0
    for part in ("train.npy", "valid.npy", "tokenizer/vocab.json", "tokenizer/merges.txt"):
        assert Path("data", name, part).read_bytes() == Path("local", part).read_bytes()


def test_preset_trains_on_what_prepare_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Hub(FILES)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert main(["prepare", "tinystories", "--vocab-size", "263"]) == 0
    flags = [*SMALL_MODEL, "--max-steps=2", "--device=cpu", "--precision=fp32", "--run-dir=run"]
    flags += ["--eval.final-windows=3", "--sample.every=0"]
    assert train_command(["tinystories", *flags]) == 0
    assert record(Path("run"))["data"]["directory"] == "data/tinystories"


@pytest.mark.parametrize("name", ["tinystories", "tinystories-cpu", "owt", "owt-leaderboard"])
def test_preset_without_its_text_names_the_command_that_gets_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command([name, "--device=cpu"]) == 2
    tokens = PRESETS[name].data.tokens
    assert tokens is not None
    command = f"`uv run --package trainer trainer prepare {tokens.name}`"
    (line,) = capsys.readouterr().err.splitlines()
    assert command in line


def test_raw_text_becomes_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a.txt", 1), ("b.txt", 2)):
        Path(name).write_text(text(seed, 6007))
    packed = Path("b.txt.gz")
    packed.write_bytes(gzip.compress(Path("b.txt").read_bytes()))
    files = ["--from-files", "a.txt", "b.txt.gz", "--weights", "3", "1"]
    assert main(["prepare", *files, "--vocab-size=300", "--out=tokens"]) == 0
    assert "--data.tokens tokens --data.weights 3 1" in capsys.readouterr().out
    flags = [*SMALL_MODEL, "--max-steps=6", "--data.tokens=tokens", "--run-dir=run"]
    assert train_command([*flags, "--data.weights", "3", "1"]) == 0
    settings = json.loads(Path("run/config.json").read_text())
    assert settings["data"]["weights"] == [3.0, 1.0]
    assert list(record(Path("run"))["data"]["sources"]) == ["a.txt", "b.txt.gz"]
    assert main(["evaluate", "run"]) == 0
    assert main(["report", "run"]) == 0
    assert f"{record(Path('run'))['result']['val_loss']:.6f}"[:6] in Path("report.html").read_text()


def test_weights_need_tokens_that_know_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text(TRAIN)
    main(["prepare", "--from-files", "a.txt", "--vocab-size=263", "--out=tokens"])
    flags = [*SMALL_MODEL, "--max-steps=1", "--data.tokens=tokens", "--run-dir=run"]
    assert train_command([*flags, "--data.weights", "3", "1"]) == 2
    assert "data.weights has 2 numbers, but the corpus has 1 file(s)" in capsys.readouterr().err


def test_run_does_not_go_on_with_other_weights(capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a.txt", 1), ("b.txt", 2)):
        Path(name).write_text(text(seed, 3001))
    flags = [*SMALL_MODEL, "--data.corpus", "a.txt", "b.txt", "--data.vocab-size=263"]
    run = ["--run-dir=run", "--data.weights"]
    assert train_command([*flags, "--max-steps=2", *run, "3", "1"]) == 0
    capsys.readouterr()
    assert train_command([*flags, "--max-steps=4", *run, "1", "1"]) == 2
    assert "data.weights=[3.0, 1.0] there and [1.0, 1.0] here" in capsys.readouterr().err
