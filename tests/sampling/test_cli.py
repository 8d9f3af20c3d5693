"""The `generate` command: pure text on standard output, one line for every mistake."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nn import TransformerLM
from sampling import SamplingConfig, generate_text, load_run
from sampling.cli import choose_device, main

Build = Callable[..., TransformerLM]
Captured = pytest.CaptureFixture[str]


def call(run: Path, *flags: str) -> int:
    return main([str(run), *flags])


def expected_text(run: Path, prompt: str, **settings: object) -> str:
    model, tokenizer = load_run(run)
    config = SamplingConfig(stop_tokens=[256], **settings)  # type: ignore[arg-type]
    return generate_text(model, tokenizer, prompt, config)


def test_text_is_the_prompt_and_its_continuation(run_directory: Path, capsys: Captured) -> None:
    flags = ["--temperature", "0.7", "--top-p", "0.9", "--max-tokens", "29", "--seed", "3"]
    assert call(run_directory, "--prompt", "fox", *flags) == 0
    text = expected_text(run_directory, "fox", temperature=0.7, top_p=0.9, max_tokens=29, seed=3)
    assert capsys.readouterr().out == f"fox{text}\n"


def test_figures_go_to_standard_error(run_directory: Path, capsys: Captured) -> None:
    call(run_directory, "--prompt", "fox", "--max-tokens", "7", "--seed", "3")
    notes = capsys.readouterr().err
    assert re.search(r"7 tokens in \d+\.\d s, \d+ tokens/s, reached --max-tokens, seed 3", notes)


def test_seed_that_was_chosen_is_shown_and_repeats_the_text(
    run_directory: Path, capsys: Captured
) -> None:
    call(run_directory, "--prompt", "fox", "--max-tokens", "17")
    first = capsys.readouterr()
    seed = re.search(r"seed (\d+)", first.err)
    assert seed is not None
    call(run_directory, "--prompt", "fox", "--max-tokens", "17", "--seed", seed[1])
    assert capsys.readouterr().out == first.out


def test_samples_are_drawn_with_one_seed_after_another(
    run_directory: Path, capsys: Captured
) -> None:
    flags = ("--prompt", "fox", "--max-tokens", "11", "--no-echo")
    call(run_directory, *flags, "--seed", "5", "--num-samples", "3")
    together = capsys.readouterr().out
    alone = []
    for seed in ("5", "6", "7"):
        call(run_directory, *flags, "--seed", seed)
        alone.append(capsys.readouterr().out)
    assert len(set(alone)) == 3
    assert together == "\n".join(alone)


@pytest.mark.parametrize("flags", [["--prompt", "-"], []])
def test_prompt_is_read_from_standard_input(
    run_directory: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("füchse\n".encode())))
    assert call(run_directory, *flags, "--max-tokens", "3", "--seed", "0") == 0
    text = expected_text(run_directory, "füchse", temperature=0.8, top_p=0.95, max_tokens=3, seed=0)
    assert capsys.readouterr().out == f"füchse{text}\n"


def test_stop_text_ends_the_text(run_directory: Path, capsys: Captured) -> None:
    flags = ("--prompt", "fox", "--max-tokens", "29", "--seed", "3", "--no-echo")
    call(run_directory, *flags)
    whole = capsys.readouterr().out
    stop = whole[9:11]
    call(run_directory, *flags, "--stop", "no such text", "--stop", stop)
    captured = capsys.readouterr()
    assert captured.out == whole[: whole.index(stop)] + "\n"
    assert "ended by itself" in captured.err


@pytest.fixture
def ending_run(run_directory: Path, build: Build) -> Path:
    """Return a run whose model says <|endoftext|> at once, whatever went before."""
    model = build().float()
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.weight[256] = 1
        model.get_parameter("ln_final.weight").zero_()
        model.get_parameter("ln_final.weight")[0] = 1
        # The hidden state's first entry decides; it must be positive for every token.
        model.token_embeddings.weight[:, 0] = 100
    model.save(run_directory / "model")
    return run_directory


def test_end_of_text_ends_the_text(ending_run: Path, capsys: Captured) -> None:
    assert call(ending_run, "--prompt", "fox", "--temperature", "0") == 0
    captured = capsys.readouterr()
    assert captured.out == "fox\n"
    assert "1 tokens" in captured.err


def test_ignore_eos_goes_on(ending_run: Path, capsys: Captured) -> None:
    flags = ("--ignore-eos", "--max-tokens", "2", "--temperature", "0")
    call(ending_run, "--prompt", "fox", *flags)
    assert capsys.readouterr().out == "fox<|endoftext|><|endoftext|>\n"


def test_special_token_in_the_prompt_is_text_unless_allowed(
    run_directory: Path, capsys: Captured
) -> None:
    long = "<|endoftext|>" * 2
    assert call(run_directory, "--prompt", long) == 2
    assert "prompt 0 has 26 tokens, more than context_length=23" in capsys.readouterr().err
    assert call(run_directory, "--prompt", long, "--allow-special", "--max-tokens", "1") == 0


def test_truncate_left_accepts_a_long_prompt(run_directory: Path, capsys: Captured) -> None:
    assert call(run_directory, "--prompt", "x" * 99, "--truncate", "left", "--max-tokens", "1") == 0
    assert capsys.readouterr().out.startswith("x" * 99)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt", ""], '^generate: prompt="" is empty: give 1 or more characters'),
        ([], "^generate: there is no prompt: give --prompt"),
        (["--prompt", "x", "--temperature", "-1"], "^generate: temperature=-1.0 must be 0 or a"),
        (["--prompt", "x", "--top-p", "0"], r"^generate: top_p=0.0 must be a number in \(0, 1\]"),
        (["--prompt", "x", "--top-k", "0"], "^generate: top_k=0 must be an integer of at least 1"),
        (["--prompt", "x", "--num-samples", "0"], "^generate: num_samples=0 must be an integer"),
        (["--prompt", "x", "--temprature", "1"], "unknown flag --temprature: did you mean --temp"),
        (["--prompt", "x", "--top-k", "few"], "^generate: --top-k: 'few' is no integer"),
        (["--prompt", "once", "upon"], "^generate: unexpected argument 'upon': put a prompt"),
        (["--prompt", "\ud800"], r"^generate: text has a lone surrogate U\+D800 at index 0"),
    ],
)
def test_mistake_is_one_line_and_status_2(
    run_directory: Path,
    capsys: Captured,
    flags: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert call(run_directory, *flags) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err)
    assert captured.err.count("\n") == 1


def test_input_that_is_not_utf8_is_named_with_its_offset(
    run_directory: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc\xff")))
    assert call(run_directory, "--prompt", "-") == 2
    assert "not UTF-8: invalid byte 0xff at offset 3" in capsys.readouterr().err


def test_missing_run_is_status_2(tmp_path: Path, capsys: Captured) -> None:
    assert call(tmp_path / "nowhere", "--prompt", "x") == 2
    assert "nowhere does not exist" in capsys.readouterr().err


def test_no_run_at_all_is_status_2(capsys: Captured) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("generate: RUN is missing")


def test_damaged_run_is_status_3(run_directory: Path, capsys: Captured) -> None:
    (run_directory / "model" / "model.safetensors").write_bytes(b"hello")
    assert call(run_directory, "--prompt", "x") == 3
    captured = capsys.readouterr()
    assert "model.safetensors" in captured.err
    assert captured.err.count("\n") == 1


def test_nan_in_the_weights_is_status_3(
    run_directory: Path, build: Build, capsys: Captured
) -> None:
    model = build().float()
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    model.save(run_directory / "model")
    assert call(run_directory, "--prompt", "x", "--no-echo") == 3
    assert "largest logit of text 0 is nan after 1 tokens" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_missing_device_is_named() -> None:
    with pytest.raises(ValueError, match=r"^--device cuda: this machine has none; it has .*cpu$"):
        choose_device("cuda")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_missing_value_is_one_line_on_any_terminal(
    encoding: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert main(["run", "--prompt"]) == 2
    message = "generate: Missing value for argument '--prompt'. Expected 1 values.\n"
    assert capsys.readouterr().err == message


def test_help_teaches_with_examples(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert 'generate runs/tiny --prompt "Once upon a time"' in text
    assert "--temperature" in text


COMMAND = [str(Path(sys.executable).with_name("generate"))]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "dumb"}


def test_ctrl_c_ends_a_text_with_status_130_and_no_traceback(run_directory: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(run_directory), "--prompt", "fox", "--max-tokens", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    # Text comes before the end: it is streamed.
    assert len(process.stdout.read(50)) == 50
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.endswith(b"\n")
    assert b"Traceback" not in err


@pytest.mark.long
def test_closed_pipe_ends_the_command_quietly(run_directory: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(run_directory), "--prompt", "fox", "--max-tokens", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert err == b""


@pytest.mark.long
def test_terminal_is_asked_for_prompts(run_directory: Path) -> None:
    """Two prompts and Ctrl-D on a pseudo-terminal: two texts, and no escape of the model's own."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, str(run_directory), "--max-tokens", "7", "--seed", "0"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=ENVIRONMENT,
    )
    os.close(terminal)
    shown = b""

    def read_until(pattern: bytes) -> None:
        nonlocal shown
        deadline = time.monotonic() + 60
        while not re.search(pattern, shown):
            assert time.monotonic() < deadline, shown
            shown += os.read(controller, 4096)

    read_until(rb"Ctrl-D ends")
    read_until(rb"> ")
    os.write(controller, b"fox\n")
    read_until(rb"7 tokens in .* seed 0")
    read_until(rb"> [^>]*> ")
    os.write(controller, b"fox\n")
    read_until(rb"7 tokens in .* seed 1")
    os.write(controller, b"\x04")
    assert process.wait(timeout=60) == 0
    os.close(controller)


@pytest.mark.parametrize("command", ["cli", "serve"])
@pytest.mark.parametrize("arguments", [["--help"], ["no-such-run", "--prompt", "a"]])
def test_help_and_a_missing_run_do_not_wait_for_torch(command: str, arguments: list[str]) -> None:
    code = f"""
import contextlib, sys
from sampling.{command} import main
with contextlib.suppress(SystemExit):
    main({arguments!r})
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["cli", "serve"])
def test_threads_are_told_to_sleep_before_torch_is_imported(command: str) -> None:
    code = f"""
import os, sys
os.environ.pop("OMP_WAIT_POLICY", None)
sys.argv = ["", "no-such-run"]
from sampling.{command} import command
command()
print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "PASSIVE False\n"
