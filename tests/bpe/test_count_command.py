"""`bpe count` and `bpe train --from-counts` do what their functions do, and say what is wrong."""

import gzip
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bpe_command import BPE, run_here

from bpe import PretokenCounts, Tokenizer, count_pretokens, train_bpe

SPECIAL = ("--special-token", "<|endoftext|>")


@pytest.fixture(autouse=True)
def in_directory_with_parts(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_bytes(corpus[:20_011].encode())
    Path("b.txt").write_bytes(corpus[20_011:30_011].encode())
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_parts_that_were_counted_apart_train_the_tokenizer_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("b.txt.gz").write_bytes(gzip.compress(Path("b.txt").read_bytes()))
    assert run_here(monkeypatch, "count", "a.txt", *SPECIAL, "--out", "a.npz") == 0
    assert run_here(monkeypatch, "count", "b.txt.gz", *SPECIAL, "--out", "b.npz") == 0
    arguments = ["--from-counts", "a.npz", "b.npz", "--vocab-size", "307", "--out", "tok"]
    assert run_here(monkeypatch, "train", *arguments) == 0
    loaded = Tokenizer.load("tok")
    assert (loaded.vocab, loaded.merges) == train_bpe(["a.txt", "b.txt"], 307, ["<|endoftext|>"])
    assert loaded.special_tokens == {"<|endoftext|>": 0}
    num_bytes = len(Path("a.txt").read_bytes() + Path("b.txt").read_bytes())
    assert f"{num_bytes:,} bytes in 2 files of counts" in capsys.readouterr().out


def test_count_takes_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("c.jsonl").write_bytes(b'{"body": "one two"}\n{"body": "caf\xe9"}\n')
    options = "--pattern o200k --errors replace --column body --workers 1 --engine reference"
    arguments = ["count", "c.jsonl", *options.split(), *SPECIAL, "--out", "deep/c.npz"]
    assert run_here(monkeypatch, *arguments) == 0
    assert PretokenCounts.load("deep/c.npz") == count_pretokens(
        "c.jsonl", ["<|endoftext|>"], pattern="o200k", errors="replace", column="body"
    )


def test_count_tells_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.txt").write_text("one one two")
    run_here(monkeypatch, "count", "c.txt", "--out", "c.npz")
    told = capsys.readouterr().out
    assert "3 distinct of 3\n" in told
    assert "11 bytes in 1 file\n" in told


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("count --out new.npz", 2, "no files to count; give at least one"),
        ("count none.txt --out new.npz", 2, "none.txt: No such file or directory"),
        ("count a.txt --out a.txt/new.npz", 2, "a.txt: Not a directory"),
        ("count torn.txt.gz --out new.npz", 3, "torn.txt.gz: cut short; its end is missing"),
        ("train a.txt --from-counts a.npz", 2, "FILES and --from-counts are two ways to train"),
        ("train", 2, "no files to train on"),
        ("train --from-counts torn.npz", 3, "torn.npz: not counts of bpe count, or damaged"),
        ("train --from-counts a.npz a.txt", 2, "if it is text: bpe count a.txt --out PART.npz"),
        ("train --from-counts none.npz", 2, "none.npz: No such file or directory"),
        ("train --from-counts a.npz other.npz", 2, "a.npz and other.npz do not belong together"),
        ("train --from-counts a.npz --pattern o200k", 2, "pattern 'gpt2', not 'o200k'"),
        ("train --from-counts a.npz --special-token e", 2, "special tokens [], not ['e']"),
        ("train --from-counts a.npz --workers 2", 2, "--workers is for bpe count"),
        ("train --from-counts a.npz --column body", 2, "--column is for bpe count"),
        ("train --from-counts a.npz --engine ray", 2, "--engine ray is for counting"),
        ("encode tok a.txt --engine ray", 2, "--engine ray writes files; say which with --out"),
        ("encode tok torn.txt.gz --out new.npy", 3, "torn.txt.gz: cut short"),
    ],
)
def test_bad_input_is_one_line_and_a_code(
    arguments: str,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    count_pretokens("a.txt").save("a.npz")
    count_pretokens("b.txt", ["<e>"]).save("other.npz")
    Path("torn.npz").write_bytes(Path("a.npz").read_bytes()[:-101])
    Path("torn.txt.gz").write_bytes(gzip.compress(Path("a.txt").read_bytes())[:-11])
    Tokenizer({byte: bytes([byte]) for byte in range(256)}, []).save("tok")
    before = sorted(Path().iterdir())
    words = arguments.split()
    if words[0] == "train":
        words += ["--vocab-size", "283", "--out", "new"]
    assert run_here(monkeypatch, *words) == code
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("bpe: ")
    assert message in told
    assert sorted(Path().iterdir()) == before


def test_no_room_for_counts_is_exit_4_and_leaves_nothing() -> None:
    before = sorted(Path().iterdir())
    finished = subprocess.run(
        [*BPE, "count", "a.txt", "--out", "a.npz"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1009, 1009)),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (finished.returncode, sorted(Path().iterdir())) == (4, before)
    assert finished.stderr.decode().splitlines()[-1].startswith("bpe: a.npz: cannot write")


def test_a_device_is_never_replaced_by_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A pipe is no file either, and nobody misses this one.
    os.mkfifo("pipe")
    assert run_here(monkeypatch, "count", "a.txt", "--out", "pipe") == 2
    assert "pipe: cannot write: not an ordinary file" in capsys.readouterr().err
    assert Path("pipe").is_fifo()


def test_report_and_encode_read_documents(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.jsonl").write_text('{"body": "on"}\n{"body": "e"}\n')
    vocab, merges = train_bpe("a.txt", 259, ["<|endoftext|>"])
    Tokenizer(vocab, merges, ["<|endoftext|>"]).save("tok")
    assert run_here(monkeypatch, "encode", "tok", "c.jsonl", "--column", "body") == 0
    o, n, e = (1 + ord(letter) for letter in "one")
    assert capsys.readouterr().out == f"{o} {n} 0 {e} 0\n"
    assert run_here(monkeypatch, "report", "tok", "c.jsonl", "--column", "body") == 0
    assert "3 bytes, 3 tokens" in capsys.readouterr().out
    arguments = ["c.jsonl", "--column", "body", "--no-end-of-text"]
    assert run_here(monkeypatch, "encode", "tok", *arguments) == 0
    assert capsys.readouterr().out == f"{o} {n} {e}\n"
