import re
import subprocess
import sys
from pathlib import Path

import pytest
from trainer_jobs import SMALL_MODEL, record

from trainer.cli import main, train_command
from trainer.commands import COMMANDS


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(corpus_file: Path) -> str:
    """A run on tokens that `trainer prepare` made."""
    flags = ["--from-files", str(corpus_file), "--out", "cats", "--vocab-size", "263"]
    assert main(["prepare", *flags]) == 0
    assert (
        train_command([*SMALL_MODEL, "--max-steps=4", "--data.tokens=cats", "--run-dir=run"]) == 0
    )
    return "run"


def test_prepared_text_is_trained_on_and_measured(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["evaluate", run]) == 0
    assert "tokens: validation loss" in capsys.readouterr().out


def test_evaluation_of_all_windows_is_that_of_the_run(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main(["evaluate", run])
    expected = f"{record(Path(run))['result']['val_loss']:.3f}"
    assert f"validation loss {expected} nats" in capsys.readouterr().out


def test_whole_checkpoints_are_verified(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["verify", run]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["2,", "4,"]


def test_damaged_checkpoint_is_found(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(run) / "checkpoints/step-000000002/model.safetensors").write_bytes(b"x")
    assert main(["verify", run]) == 3
    captured = capsys.readouterr()
    assert "step-2 is corrupt: model.safetensors has 1 bytes" in captured.out
    assert "step 4, size and SHA-256 of every file are right" in captured.out
    assert "1 of 2 checkpoints" in captured.err


def test_model_is_not_measured_on_tokens_of_another_tokenizer(
    run: str, corpus_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--from-files", str(corpus_file), "--out", "other", "--vocab-size", "270"]
    main(["prepare", *flags])
    assert main(["evaluate", run, "--tokens", "other"]) == 2
    assert "encoded by another tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("prepear", "unknown command 'prepear': did you mean 'prepare'?"),
        ("prepare", "needs text: tinystories, owt, or --from-files FILE..."),
        ("prepare tinystorys", "unknown text 'tinystorys': did you mean 'tinystories'?"),
        ("prepare owt --from-files a", "'owt' and --from-files exclude each other"),
        ("prepare --from-files", "--from-files needs at least one file"),
        ("prepare --from-files a b --weights 1", "data.weights has 1 numbers"),
        ("prepare --from-files a --weights 0", "data.weights are all 0"),
        ("prepare --from-files nowhere.txt", "nowhere.txt: no such file"),
        ("prepare --from-flies a", "did you mean '--from-files'?"),
        ("evaluate nowhere", "nowhere does not exist"),
        ("verify .", "holds no checkpoint"),
        ("verify nowhere", "nowhere: no such run directory"),
        ("report nowhere", "nowhere: no such run directory"),
        ("evaluate", "RUN is missing: Directory of a run."),
        ("export --out a", "RUN is missing"),
        ("evaluate --bogus", "unknown flag '--bogus'"),
        ("verify --bogus", "unknown flag '--bogus'"),
        ("evaluate run --batch-size 0", "--batch-size 0: it takes at least 1 window"),
        ("evaluate run --batch-size", "--batch-size needs a value"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], command: str, words: str
) -> None:
    assert main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("prepare", "evaluate", "verify"))


def help_of(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert not stop.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [*COMMANDS, "train", "train owt", "log conclude"])
def test_help_fits_a_terminal_and_speaks_no_python(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = help_of(command, capsys, monkeypatch)
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert not re.search(r"\{None\}|default:\s+(│\s+│\s+)?(\)|None)", shown)
    # At a comma a line may be broken.
    assert not re.search(r"\d,\d", shown)


@pytest.mark.parametrize("command", ["verify", "export", "evaluate", "report", "log"])
def test_help_shows_an_example(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"Example: trainer {command} " in help_of(command, capsys, monkeypatch)


def test_help_says_whose_defaults_it_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "those of the preset, tiny unless" in help_of("train", capsys, monkeypatch)


@pytest.mark.parametrize("flag", ["--model.d-ff", "--sample.top-p"])
def test_help_says_where_none_may_take_the_place_of_a_number(
    flag: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = help_of("train tiny", capsys, monkeypatch)
    assert re.search(rf"{re.escape(flag)} (INT|FLOAT)\|None", shown)


@pytest.mark.parametrize("words", ["report", "log conclude"])
def test_help_does_not_show_a_default_of_what_is_required(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    positional = help_of(words, capsys, monkeypatch).split("options")[0]
    assert "default" not in positional


@pytest.mark.parametrize(("word", "status"), [("bogus", 2), ("--help", 0)])
def test_list_of_commands_needs_no_torch(word: str, status: int) -> None:
    program = (
        "import sys; from trainer.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(99 if 'torch' in sys.modules else status)"
    )
    assert subprocess.run([sys.executable, "-c", program, word]).returncode == status
