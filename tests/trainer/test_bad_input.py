"""Bad input is one line on standard error, exit status 2, and nothing is written."""

import re
from pathlib import Path

import pytest
from trainer_jobs import losses, start

from trainer import checkpoints
from trainer.cli import exit_status, train_command
from trainer.nonfinite import NonFiniteError
from trainer.run_lock import RunLockedError


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROUNDUP_TRACEBACK", raising=False)


def fails(capsys: pytest.CaptureFixture[str], *flags: str, status: int = 2) -> str:
    """Run a command that must fail, and return its one line."""
    before = sorted(Path().rglob("*"))
    assert train_command(flags) == status
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    assert sorted(Path().rglob("*")) == before, "something was written"
    assert line.startswith("train: ")
    return line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("tinny", "unknown preset 'tinny': did you mean 'tiny'?"),
        ("short.txt", "unknown preset 'short.txt': to train on this text, --data.corpus short.txt"),
        ("zzz", "unknown preset 'zzz': there are tiny, tinystories"),
        ("--max-stps 3", "did you mean '--max-steps'?"),
        ("--config nowhere.toml", "nowhere.toml: no such file"),
        ("--model.d-model 100 --model.num-heads 16", "d_model=100 is not divisible"),
        ("--model.d-model 12 --model.num-heads 4", "odd size 3"),
        ("--data.vocab-size 256", "data.vocab_size=256 is below 257"),
        ("--data.corpus", "--data.corpus needs at least one file"),
        ("--data.corpus missing.txt", "missing.txt: no such file"),
        ("--data.corpus empty.txt", "empty.txt is empty"),
        ("--data.corpus bytes.txt", "bytes.txt: invalid byte 0xff at offset 3 (line 2)"),
        ("--data.corpus short.txt", "short.txt: 11 bytes are too few"),
        ("--data.tokens nowhere", "nowhere: no such directory"),
        ("--data.tokens .", "holds no train.npy"),
        ("--device mps", "device='mps' is not available"),
        ("tinystories", "`uv run --package trainer trainer prepare tinystories` fetches it"),
        ("--run-dir empty.txt", "is a file"),
        ("--run-dir .", "holds files but no run"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], flags: str, words: str
) -> None:
    Path("empty.txt").touch()
    Path("bytes.txt").write_bytes(b"ok\n\xff" + b"x" * 2000)
    Path("short.txt").write_text("hello world")
    assert words in fails(capsys, *flags.split())


def test_bad_input_is_one_line_of_the_real_command(tmp_path: Path) -> None:
    process = start("--max-stps", "3", cwd=tmp_path)
    output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    assert errors.splitlines() == ["train: unknown flag '--max-stps': did you mean '--max-steps'?"]


def test_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDUP_TRACEBACK", "1")
    with pytest.raises(ValueError, match="tinny"):
        train_command(["tinny"])


def test_text_with_fewer_tokens_than_a_window_is_refused_without_a_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("long.txt").write_text("long " * 200)
    flags = ["--data.corpus", "long.txt", "--data.vocab-size", "300"]
    assert train_command(flags) == 2
    assert "tokens are too few for a window" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_other_configuration_is_refused_setting_by_setting(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(
        capsys,
        "--run-dir",
        str(finished_run),
        "--max-steps",
        "9",
        "--seed",
        "7",
        "--optimizer.lr",
        "0.5",
    )
    assert "seed=0 there and 7 here" in line
    assert "optimizer.lr=" in line
    assert "max_steps" not in line


def test_other_data_is_refused(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--run-dir", str(finished_run), "--max-steps", "9", "--data.stories-bytes", "50000"]
    assert train_command(flags) == 2
    assert "was begun with other settings or data: the hash of tokenizer" in capsys.readouterr().err


def test_run_cannot_become_shorter(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "--run-dir", str(finished_run), "--max-steps", "5")
    assert "is at step 6, beyond max_steps=5" in line


def damage(run: Path, step: int, name: str = "optimizer.pt") -> Path:
    """Flip one bit in a file of a checkpoint."""
    path = run / f"checkpoints/step-{step:09d}" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def test_one_flipped_bit_takes_the_run_back_to_the_checkpoint_before(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(finished_run, 6, "model.safetensors")
    assert train_command(["--run-dir", str(finished_run), "--max-steps", "8"]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(
        r"train: checkpoint step-6 is corrupt: model\.safetensors SHA-256 is \w{12}\.\., "
        r"manifest says \w{12}\.\.; using step-4\n",
        captured.err,
    )
    assert "resumed from step 4 (verified)" in captured.out
    aside = finished_run / "checkpoints/corrupt-step-000000006"
    assert (aside / "model.safetensors").exists()
    assert [step for step, _, _ in losses(finished_run)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_run_whose_checkpoints_are_all_corrupt_is_not_begun_again(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(finished_run, 6)
    damage(finished_run, 4, "model.safetensors")
    line = fails(capsys, "--run-dir", str(finished_run), "--max-steps", "9", status=3)
    assert "step-6 is corrupt: optimizer.pt SHA-256" in line
    assert "step-4 is corrupt: model.safetensors SHA-256" in line
    assert "--resume never" in line


def test_run_with_nothing_but_checkpoints_set_aside_is_not_begun_again(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (4, 6):
        path = finished_run / f"checkpoints/step-{step:09d}"
        path.rename(path.with_name(f"corrupt-{path.name}"))
    line = fails(capsys, "--run-dir", str(finished_run), "--max-steps", "9", status=3)
    assert "corrupt-step-000000006 was set aside earlier" in line


def test_other_settings_are_accepted_on_request(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--max-steps", "7", "--optimizer.lr", "0.5", "--resume", "anyway"]
    assert train_command(["--run-dir", str(finished_run), *flags]) == 0
    captured = capsys.readouterr()
    assert "optimizer.lr=0.01 there and 0.5 here; going on all the same" in captured.err
    assert "resumed from step 6 (verified)" in captured.out


def test_what_a_kill_left_behind_is_removed_and_counted(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = finished_run / "checkpoints/.unfinished-step-000000008"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert train_command(["--run-dir", str(finished_run), "--max-steps", "7"]) == 0
    told = "resumed from step 6 (verified); removed 1 unfinished checkpoint\n"
    assert told in capsys.readouterr().out
    assert not left.exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("x"), 2),
        (FileNotFoundError(2, "x"), 2),
        (OSError(28, "no space"), 4),
        (MemoryError(), 4),
        (checkpoints.CorruptCheckpointError("x"), 3),
        (checkpoints.SaveError("cannot save"), 4),
        (RunLockedError("in use"), 2),
        (NonFiniteError("nan"), 1),
        (RuntimeError("a mistake of ours"), None),
    ],
)
def test_exit_status_tells_errors_apart(error: Exception, status: int | None) -> None:
    assert exit_status(error) == status
