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
    assert f"{sum(memory.values()) / 1e6:.0f} MB" in capsys.readouterr().out


@pytest.mark.parametrize(("memory", "number"), [("80GB", 80e9), ("24 GiB", 24 * 2.0**30)])
def test_account_prints_the_largest_batch(
    capsys: pytest.CaptureFixture[str], memory: str, number: float
) -> None:
    assert main(["--preset", "gpt2", "--memory", memory]) == 0
    largest = accounting.largest_batch(accounting.PRESETS["gpt2"], number)
    assert f"{largest} x 1024" in capsys.readouterr().out


def test_account_counts_the_plain_functions_if_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "gpt2", "--plain"]) == 0
    activations = accounting.count_activations(accounting.PRESETS["gpt2"], plain=True)
    assert f"{sum(activations.values()) / 256:,.1f}" in capsys.readouterr().out


def test_account_prints_the_days_to_train(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--mfu", "0.5", "--device-flops", "312e12", "--tokens", "300e9"]
    assert main(["--preset", "gpt2-xl", *flags]) == 0
    config = accounting.PRESETS["gpt2-xl"]
    days = accounting.training_days(config, 300e9, device_flops=312e12, mfu=0.5)
    assert f"300 billion tokens at 50% of 312 TFLOP/s {days:.1f} days" in " ".join(
        capsys.readouterr().out.split()
    )


def test_account_compares_the_shares_of_presets(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
    assert main(["--model.context-length", "16384", "--compare", *names]) == 0
    table = capsys.readouterr().out.partition("Shares of the FLOPs at context 16384")[2]
    (row,) = [line.split() for line in table.splitlines() if "attention scores" in line]
    for name, share in zip(names, row[2:], strict=True):
        flops = accounting.count_forward_flops(accounting.PRESETS[name], context_length=16384)
        assert share == f"{flops['attention_scores'] / sum(flops.values()):.1%}"


def test_parts_that_a_model_does_not_have_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert "value embeddings" not in capsys.readouterr().out
    main(["--model.value-embeddings", "0", "3"])
    assert "value embeddings" in capsys.readouterr().out


def test_account_fits_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    flags = ["--compare", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
    assert main(["--preset", "gpt2-xl", "--model.context-length", "16384", *flags]) == 0
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
        (
            ["--model.d-model", "100"],
            "model.d_model=100 is not divisible by model.num_heads=16",
        ),
        (["--model.d-model", "x"], "--model.d-model: 'x' is no integer"),
        (
            ["--model.dmodel", "96"],
            "unknown flag --model.dmodel: did you mean --model.d-model?",
        ),
        (["--batchsize", "3"], "unknown flag --batchsize: did you mean --batch-size?"),
        (["--xyz"], "unknown flag --xyz: see --help"),
        (["gpt2"], "unexpected argument 'gpt2'; see --help"),
        (
            ["--model.norm", "layer"],
            "invalid choice 'layer' for argument '--model.norm'. Expected one of ('rms', 'none').",
        ),
        (["--batch-size", "0"], "batch_size=0 is not a positive integer"),
        (["--preset"], "Missing value for argument '--preset'. Expected 1 values."),
        (["--memory", "80"], "memory='80' is not a size such as 80GB or 24GiB"),
        (["--mfu", "x"], "--mfu: 'x' is no number"),
        (["--mfu", "40"], "mfu=40.0 is not a share above 0 and up to 1"),
        (["--tokens", "0"], "tokens=0.0 is not a positive number"),
        (["--compare", "gpt3"], "unknown preset 'gpt3': did you mean 'gpt2'?"),
        (
            ["--model.value-embeddings", "9"],
            "model.value_embeddings=(9,) are not all in 0..3, the layers of model.num_layers=4",
        ),
    ],
)
def test_bad_flag_exits_with_two_and_says_what_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"account: {said}\n"


def test_importing_nn_imports_no_library_of_the_command_line() -> None:
    code = "import sys, nn; print({'tyro', 'rich', 'safetensors'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "set()"
