"""`account`: the numbers of the accounting in two tables, and bad input in one line."""

import subprocess
import sys

import pytest

from nn import accounting
from nn.cli import main


def test_account_prints_the_totals_of_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "gpt2-xl"]) == 0
    shown = capsys.readouterr().out
    config = accounting.PRESETS["gpt2-xl"]
    assert f"{sum(accounting.count_parameters(config).values()):,}" in shown
    assert f"{sum(accounting.count_forward_flops(config).values()) / 1e6:,.1f}" in shown
    assert f"{sum(accounting.count_activations(config).values()) / 256:,.1f}" in shown


def test_account_prints_the_memory_of_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--batch-size", "3"]) == 0
    memory = accounting.count_memory(accounting.PRESETS["default"], batch_size=3)
    assert f"{sum(memory.values()) / 2**20:,.1f}" in capsys.readouterr().out


def test_account_fits_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--preset", "gpt2-xl"]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= 80
        assert "…" not in line


def test_flags_change_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model.num-layers", "2", "--preset=gpt2", "--model.tied-embeddings"]) == 0
    assert "2 layers, d_model 768, 12 heads" in capsys.readouterr().out


def test_unknown_preset_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "gpt2-xxl"]) == 2
    assert capsys.readouterr().err == (
        "account: unknown preset 'gpt2-xxl': did you mean 'gpt2-xl'?\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model.d-model", "100"], "model.d_model=100 is not divisible"),
        (["--model.dmodel", "96"], "--model.d-model"),
        (["--model.norm", "layer"], "'rms', 'none'"),
        (["--batch-size", "0"], "batch_size=0 is not a positive integer"),
        (["--preset"], "--preset"),
    ],
)
def test_bad_flag_exits_with_two_and_says_what(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    # The message may be broken into lines by the box around it.
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_importing_nn_imports_no_library_of_the_command_line() -> None:
    code = "import sys, nn; print({'tyro', 'rich', 'safetensors'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "set()"
