"""The `bpe` command does what it says, and says in one line what is wrong."""

import gzip
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from rich.console import Console

from bpe import Tokenizer, train_bpe
from bpe.cli import main
from bpe.pretoken_counts import PretokenCounts
from bpe.terminal import Display

BPE = [sys.executable, "-c", "import sys; from bpe.cli import main; sys.exit(main())"]
TEXT = "One morning Ana found a key.<|endoftext|>\nWhose key is it? 鍵 🗝\r\n" * 211

# Takes for ever on a row of letters: every way to cut it is tried.
ENDLESS = "(?:a|a|aa)+b|."


@pytest.fixture(autouse=True)
def in_directory_with_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_bytes(TEXT.encode())
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def trained() -> Tokenizer:
    vocab, merges = train_bpe("corpus.txt", 283, ["<|endoftext|>"])
    tokenizer = Tokenizer(vocab, merges, ["<|endoftext|>"])
    tokenizer.save("tok")
    return tokenizer


def run_here(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bpe", *arguments])
    return main()


def run(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([*BPE, *arguments], input=stdin, capture_output=True, check=False)


def listing() -> list[str]:
    return sorted(str(path) for path in Path().iterdir())


TRAIN = ("train", "corpus.txt", "--vocab-size", "283", "--out", "tok")


def test_installed_command_trains_as_the_function() -> None:
    command = Path(sys.executable).with_name("bpe")
    arguments = [*TRAIN, "--special-token", "<|endoftext|>"]
    subprocess.run([command, *arguments], check=True, capture_output=True)
    loaded = Tokenizer.load("tok")
    assert (loaded.vocab, loaded.merges) == train_bpe("corpus.txt", 283, ["<|endoftext|>"])
    assert loaded.special_tokens == {"<|endoftext|>": 0}


def test_train_takes_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("second.txt").write_bytes(b"more \xff text")
    options = ["--special-token", "<a>", "--special-token", "<b>", "--pattern", "cl100k"]
    options += ["--tie-break", "huggingface", "--errors", "replace", "--workers", "1"]
    options += ["--engine", "reference"]
    assert run_here(monkeypatch, "train", "second.txt", *TRAIN[1:], *options) == 0
    assert (
        Tokenizer.load("tok").merges
        == train_bpe(
            ["second.txt", "corpus.txt"],
            283,
            ["<a>", "<b>"],
            pattern="cl100k",
            tie_break="huggingface",
            errors="replace",
        )[1]
    )


def test_train_tells_what_it_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, *TRAIN, "--special-token", "<|endoftext|>") == 0
    told = capsys.readouterr()
    assert "283: 1 special, 256 bytes, 26 merges" in told.out
    assert re.search(r"peak memory +[\d,]+ MB\n", told.out)
    assert re.search(r"longest +'morning'", told.out)
    assert re.search(r"^counting: .* MB/s\nmerging: 26 of 26 merges done, .*/s$", told.err, re.M)


def test_rate_counts_the_time_before_the_first_news(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(Console(stderr=True)) as display:
        time.sleep(0.1)
        display.update("counting", 1_000_000, 1_000_000, "bytes")
    rate = re.search(r"done, ([\d.]+) MB/s", capsys.readouterr().err)
    assert rate is not None
    assert float(rate[1]) <= 10


def test_train_says_when_it_stops_early(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("corpus.txt").write_text("abc")
    assert run_here(monkeypatch, *TRAIN) == 0
    assert "warning: no pair is left to merge: the vocabulary has 258 of 283" in (
        capsys.readouterr().err
    )


def test_train_shows_bars_on_a_terminal() -> None:
    parent, child = pty.openpty()
    with subprocess.Popen([*BPE, *TRAIN], stdout=child, stderr=child) as process:
        os.close(child)
        shown = b""
        try:
            while piece := os.read(parent, 4096):
                shown += piece
        except OSError:
            pass  # Linux's sign that the other end is closed.
    os.close(parent)
    assert process.returncode == 0
    assert re.search(r"merging.*━.*27 of 27 merges", shown.decode())


def test_encode_writes_what_encode_array_returns(
    trained: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, "encode", "tok", "corpus.txt", "--out", "ids.npy") == 0
    ids = np.load("ids.npy")
    np.testing.assert_array_equal(ids, trained.encode_array(TEXT))
    assert json.loads(Path("ids.npy.json").read_text())["num_tokens"] == len(ids)
    assert f"{len(ids):,}\n" in capsys.readouterr().out


def test_encode_prints_ids(trained: Tokenizer) -> None:
    finished = run("encode", "tok", "-", stdin=TEXT.encode())
    assert [int(word) for word in finished.stdout.split()] == trained.encode(TEXT)


def test_encode_can_take_special_tokens_for_text(trained: Tokenizer) -> None:
    finished = run("encode", "tok", "-", "--specials", "none", stdin=b"<|endoftext|>")
    ids = [int(word) for word in finished.stdout.split()]
    assert ids == trained.encode("<|endoftext|>", allowed_special="none") != [0]


def test_decode_gives_the_bytes_back(
    trained: Tokenizer, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    trained.encode_file("corpus.txt", "ids.npy")
    assert run_here(monkeypatch, "decode", "tok", "ids.npy") == 0
    assert capfdbinary.readouterr().out == TEXT.encode()
    assert run_here(monkeypatch, "decode", "tok", "ids.npy", "--out", "same.txt") == 0
    assert Path("same.txt").read_bytes() == TEXT.encode()


def test_decode_reads_ids_as_text(trained: Tokenizer) -> None:
    ids = " ".join(map(str, trained.encode("Whose key\n")))
    assert run("decode", "tok", "-", stdin=ids.encode()).stdout == b"Whose key\n"


@pytest.mark.usefixtures("trained")
def test_decode_refuses_an_array_from_standard_input() -> None:
    assert run("encode", "tok", "corpus.txt", "--out", "ids.npy").returncode == 0
    finished = run("decode", "tok", "-", stdin=Path("ids.npy").read_bytes())
    assert finished.returncode == 2
    message = b"bpe: standard input is a .npy file; give its name instead of -\n"
    assert finished.stderr == message


def test_train_reads_standard_input(trained: Tokenizer) -> None:
    arguments = ["--special-token", "<|endoftext|>", "--vocab-size", "283", "--out", "piped"]
    finished = run("train", "-", *arguments, stdin=TEXT.encode())
    assert Tokenizer.load("piped").vocab == trained.vocab
    assert re.match(r"counting: ([\d,.]+) of \1 kB done", finished.stderr.decode())
    assert f"text         {len(TEXT.encode()):,} bytes in 1 file\n" in finished.stdout.decode()


def test_count_reads_standard_input() -> None:
    assert run("count", "-", "--out", "part.npz", stdin=TEXT.encode()).returncode == 0
    assert PretokenCounts.load("part.npz").num_bytes == len(TEXT.encode())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("corpus.txt.gz", gzip.compress(TEXT.encode())),
        ("corpus.jsonl", json.dumps({"text": TEXT}).encode()),
    ],
)
def test_train_tells_the_size_of_the_text_in_a_file(
    name: str, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(content)
    assert run_here(monkeypatch, "train", name, *TRAIN[2:]) == 0
    assert f"{len(TEXT.encode()):,} bytes in 1 file\n" in capsys.readouterr().out


def test_report_measures_the_text(
    trained: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, "report", "tok", "corpus.txt") == 0
    told = capsys.readouterr().out
    ids = trained.encode(TEXT)
    num_bytes = len(TEXT.encode())
    assert f"{num_bytes:,} bytes, {len(ids):,} tokens" in told
    assert f"{num_bytes / len(ids):.3f} bytes per token" in told
    assert f"{len(set(ids))} of 283 tokens used" in told
    assert re.search(r"encoding +[\d.]+ MB/s\ndecoding +[\d.]+ MB/s\npeak memory +[\d,]+ MB", told)
    assert re.search(r"longest +'morning'", told)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("trian corpus.txt", 2, "unknown command 'trian'; did you mean train?"),
        ("train --vocab-size 283 --out new", 2, "no files to train on; give at least one"),
        ("train none.txt --vocab-size 283 --out new", 2, "none.txt: No such file or directory"),
        ("train tok --vocab-size 283 --out new", 2, "tok: Is a directory"),
        ("train empty.txt --vocab-size 283 --out new", 2, "empty.txt: no text to train on"),
        ("train latin.txt --vocab-size 283 --out new", 2, "latin.txt: invalid byte 0xe9 at offset"),
        ("train corpus.txt --vocab-size 7 --out new", 2, "vocab_size=7 is not in 256.."),
        ("train corpus.txt --vocab-size 283 --out empty.txt", 2, "empty.txt: Not a directory"),
        ("train corpus.txt --vocab-size 283 --out new --pattern gpt-2", 2, "did you mean 'gpt2'?"),
        ("encode none corpus.txt", 2, "none: holds no tokenizer; `bpe train"),
        ("encode tok latin.txt --out new", 2, "latin.txt: invalid byte 0xe9 at offset 3 (line 1)"),
        ("encode tok none.txt --out new", 2, "none.txt: No such file or directory"),
        ("encode broken corpus.txt", 3, "broken/vocab.json: "),
        ("decode tok corpus.txt", 3, "corpus.txt: not a .npy array"),
        ("decode tok none.npy", 2, "none.npy: No such file or directory"),
        ("report tok empty.txt", 2, "empty.txt: no text to measure"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_bad_input_is_one_line_and_a_code(
    arguments: str,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty.txt").touch()
    Path("latin.txt").write_bytes("café".encode("latin-1"))
    Tokenizer.load("tok").save("broken")
    Path("broken/vocab.json").write_text("{")
    before = listing()
    assert run_here(monkeypatch, *arguments.split()) == code
    told = capsys.readouterr()
    assert message in told.err.splitlines()[-1]
    assert told.err.splitlines()[-1].startswith("bpe: ")
    assert "Traceback" not in told.err
    assert listing() == before


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("words", ["7 x", "7 1.5", "999999", "-1"])
def test_bad_ids_are_named(words: str) -> None:
    finished = run("decode", "tok", "-", stdin=words.encode())
    assert finished.returncode == 2
    assert re.fullmatch(r"bpe: .*(x|1\.5|999999|-1).*\n", finished.stderr.decode())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "which command? train, count, encode, decode, report, view; see bpe --help"),
        ("train a --vocabsize 283", "unknown flag --vocabsize: did you mean --vocab-size?"),
        ("train a --special-tokn b", "unknown flag --special-tokn: did you mean --special-token?"),
        ("view a b --xyz", "unknown flag --xyz: see bpe view --help"),
        ("train a --vocab-size abc --out b", "--vocab-size: 'abc' is no integer"),
        ("train a --vocab-size 283", "--out DIR is missing; see bpe train --help"),
        ("encode", "TOKENIZER and FILE are missing; see bpe encode --help"),
        ("decode a b c", "unexpected argument c"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_bad_flags_are_one_line(arguments: str, message: str, encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    finished = subprocess.run(
        [*BPE, *arguments.split()], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert finished.stderr.removeprefix("bpe: ") == f"{message}\n"


def test_flags_may_have_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_here(monkeypatch, *TRAIN[:2], "--vocab_size", *TRAIN[3:]) == 0


def test_help_joins_the_lines_of_a_description(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        run_here(monkeypatch, "train", "--help")
    assert "No token spans two files or" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["", "train", "count", "encode", "decode", "report", "view"])
def test_help_fits_a_narrow_terminal(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        run_here(monkeypatch, *command.split(), "--help")
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["", "train", "encode", "decode", "report"])
def test_help_has_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_here(monkeypatch, *command.split(), "--help")
    assert f"bpe {command or 'train'} " in capsys.readouterr().out.split("╭")[0]


def test_traceback_is_shown_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPE_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        run_here(monkeypatch, "train", "none.txt", *TRAIN[2:])


@pytest.mark.usefixtures("trained")
def test_no_room_is_exit_4_and_leaves_nothing() -> None:
    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1009, 1009))

    before = listing()
    arguments = ["encode", "tok", "corpus.txt", "--out", "ids.npy"]
    finished = subprocess.run(
        [*BPE, *arguments], preexec_fn=limit_file_size, capture_output=True, check=False
    )
    assert (finished.returncode, listing()) == (4, before)
    assert finished.stderr.decode().splitlines()[-1].startswith("bpe: ids.npy: cannot write")


def test_killed_worker_is_exit_4_within_seconds() -> None:
    Path("corpus.txt").write_text("a" * 101)
    arguments = [*TRAIN, "--workers", "2", "--pattern", ENDLESS]
    with subprocess.Popen([*BPE, *arguments], stderr=subprocess.PIPE) as process:
        worker = wait_for_worker(process.pid)
        start = time.monotonic()
        worker.kill()
        _, told = process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert process.returncode == 4
    assert told.decode().splitlines()[-1].startswith("bpe: one of 2 worker processes died")
    assert not Path("tok").exists()


def test_ctrl_c_ends_busy_workers_in_one_line() -> None:
    Path("corpus.txt").write_text("a" * 101)
    arguments = [*TRAIN, "--workers", "2", "--pattern", ENDLESS]
    with subprocess.Popen(
        [*BPE, *arguments], stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        worker = wait_for_worker(process.pid)
        start = time.monotonic()
        # To all of them, as a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert (process.returncode, told) == (128 + signal.SIGINT, b"bpe: interrupted\n")
    _, alive = psutil.wait_procs([worker], timeout=5)
    assert not alive


def wait_for_worker(pid: int) -> psutil.Process:
    while True:
        for child in psutil.Process(pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                return child
        time.sleep(0.01)


@pytest.mark.usefixtures("trained")
def test_sigterm_leaves_no_partial_file() -> None:
    fifo = Path("fifo")
    os.mkfifo(fifo)
    before = listing()
    with (
        subprocess.Popen(
            [*BPE, "encode", "tok", "fifo", "--out", "ids.npy"], stderr=subprocess.DEVNULL
        ) as process,
        fifo.open("wb") as writer,
    ):
        writer.write(TEXT.encode())
        writer.flush()
        while listing() == before:
            time.sleep(0.01)
        process.terminate()
        process.wait(timeout=60)
    assert (process.returncode, listing()) == (128 + signal.SIGTERM, before)


@pytest.mark.usefixtures("trained")
def test_reader_that_leaves_ends_the_command_quietly() -> None:
    with subprocess.Popen(
        [*BPE, "encode", "tok", "corpus.txt"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
