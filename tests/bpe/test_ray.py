"""On a Ray cluster, with workers that are killed on the way, the results are those of one process.

Every test starts a cluster of its own with two workers, as the command does, in a process of its
own: Ray leaves threads behind.

    uv run --group cluster pytest -m long tests/bpe/test_ray.py
"""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpe import Tokenizer, train_bpe

pytest.importorskip("ray", reason="not installed; uv run --group cluster pytest -m long")

# Kills one of the workers that are at work.
KILL_ONE = """
import contextlib, sys, time
import psutil

killed = []

def kill_one(*progress):
    stop = time.monotonic() + 0.3
    while not killed and time.monotonic() < stop:
        for process in psutil.Process().children(recursive=True):
            # Some end by themselves while they are looked at.
            with contextlib.suppress(psutil.NoSuchProcess):
                if "ray::_call" in process.name():
                    process.kill()
                    killed.append(process.pid)
                    return
"""

# Of this pattern nothing is known: each chunk takes the regular expression a while.
PATTERN = r"\w+|\W"

TRAIN = (
    KILL_ONE
    + """
from bpe import train_bpe
vocab, merges = train_bpe(
    *(sys.argv[1], 307, ["<|endoftext|>"]), pattern=sys.argv[2], engine="ray", workers=2,
    progress=kill_one
)
print(len(killed), [[left.hex(), right.hex()] for left, right in merges])
"""
)

ENCODE = (
    KILL_ONE
    + """
from bpe import Tokenizer
tokenizer = Tokenizer.load(sys.argv[1])
tokenizer.encode_file(sys.argv[2], sys.argv[3], engine="ray", workers=2, progress=kill_one)
print(len(killed))
"""
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def big(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ray") / "corpus.txt"
    # Longer than one of the parts that are dealt out, in which specials lie on the borders too.
    path.write_bytes((corpus + "<|endoftext|>").encode() * 211)
    return path


def python(script: str, *arguments: object) -> str:
    words = [sys.executable, "-c", script, *map(str, arguments)]
    finished = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr
    # Before it Ray may have told of the worker.
    return finished.stdout.splitlines()[-1]


def test_training_with_a_killed_worker_is_that_of_one_process(big: Path) -> None:
    num_killed, merges = python(TRAIN, big, PATTERN).split(" ", 1)
    assert num_killed == "1"
    expected = train_bpe(big, 307, ["<|endoftext|>"], pattern=PATTERN)[1]
    assert merges.replace("'", '"') == json.dumps(
        [[left.hex(), right.hex()] for left, right in expected]
    )


@pytest.mark.parametrize("name", ["corpus.txt", "corpus.jsonl"])
def test_encoding_with_a_killed_worker_writes_the_same_bytes(
    big: Path, saved: Path, tmp_path: Path, name: str
) -> None:
    source = tmp_path / name
    text = big.read_bytes().decode()
    if name.endswith(".jsonl"):
        lines = [json.dumps({"text": part}) + "\n" for part in text.split("\n")]
        source.write_text("".join([*lines, json.dumps({"text": text}) + "\n"]))
    else:
        source.write_bytes(text.encode())
    assert python(ENCODE, saved, source, tmp_path / "ray.npy") == "1"
    Tokenizer.load(saved).encode_file(source, tmp_path / "alone.npy")
    for suffix in (".npy", ".npy.json"):
        digests = {
            hashlib.sha256((tmp_path / f"{stem}{suffix}").read_bytes()).hexdigest()
            for stem in ("ray", "alone")
        }
        assert len(digests) == 1


def test_commands_spread_their_work(big: Path, tmp_path: Path) -> None:
    count: list[str | Path] = [Path(sys.executable).with_name("bpe"), "count", big]
    on_ray: list[str | Path] = ["--engine", "ray", "--workers", "2", "--out", tmp_path / "a.npz"]
    subprocess.run([*count, *on_ray], check=True, capture_output=True, timeout=300)
    alone: list[str | Path] = ["--out", tmp_path / "b.npz"]
    subprocess.run([*count, *alone], check=True, capture_output=True, timeout=300)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_cluster_that_is_not_there_is_named(big: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("bpe")
    start = time.monotonic()
    finished = subprocess.run(
        [command, "count", big, "--engine", "ray", "--out", tmp_path / "a.npz"],
        env={"RAY_ADDRESS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].startswith("bpe: RAY_ADDRESS=127.0.0.1:1: no Ray")
    assert time.monotonic() - start < 20
    assert not list(tmp_path.iterdir())
