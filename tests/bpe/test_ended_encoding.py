"""However encoding a file ends, its name stands for a whole file or for what it was before."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bpe.token_file import TokenFileError, read_token_file
from bpe.tokenizer import Tokenizer

_ENCODE = """
import sys
from bpe.tokenizer import Tokenizer
import bpe.text_file
tokenizer = Tokenizer.load(sys.argv[1])
def report(done, total):
    print(done, flush=True)
    sys.stdin.readline()
tokenizer.encode_file(sys.argv[2], sys.argv[3], progress=report)
"""

_KILL_AT_RANDOM = """
import hashlib, json, os, random, signal, sys, time
from pathlib import Path
from bpe.tokenizer import Tokenizer
saved = Tokenizer.load(sys.argv[1])
tokenizer = Tokenizer(saved.vocab, saved.merges, saved.special_tokens, engine=sys.argv[5])
target = Path(sys.argv[3])
for _ in range(2):  # the first fills the cache, which the children inherit
    start = time.perf_counter()
    tokenizer.encode_file(sys.argv[2], target.with_name("whole.npy"), workers=2)
seconds = time.perf_counter() - start
source = random.Random(17)
found = []
for _ in range(int(sys.argv[4])):
    child = os.fork()
    if child == 0:
        tokenizer.encode_file(sys.argv[2], target, workers=2)
        os._exit(0)
    time.sleep(source.uniform(0, 1.2 * seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found.append(hashlib.sha256(target.read_bytes()).hexdigest() if target.exists() else None)
    target.unlink(missing_ok=True)
print(json.dumps(found))
"""


@pytest.mark.parametrize(("engine", "times"), [("reference", 7), ("kernels", 101)])
@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.long)])
def test_a_kill_at_any_moment_leaves_a_whole_file_or_none(
    tmp_path: Path,
    saved: Path,
    tokenizer: Tokenizer,
    corpus: str,
    count: int,
    engine: str,
    times: int,
) -> None:
    text, target = tmp_path / "corpus.txt", tmp_path / "train.npy"
    text.write_bytes(corpus.encode() * times)
    command = [sys.executable, "-c", _KILL_AT_RANDOM]
    command += [str(saved), str(text), str(target), str(count), engine]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(output)
    whole = hashlib.sha256((tmp_path / "whole.npy").read_bytes()).hexdigest()
    assert set(found) <= {None, whole}
    assert None in found
    tokenizer.encode_file(text, target)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == whole
    assert not list(tmp_path.glob(".*"))


def test_a_kill_while_encoding_anew_keeps_the_old_file(
    tmp_path: Path, saved: Path, source: Path, tokens: Path, tokenizer: Tokenizer
) -> None:
    before = tokens.read_bytes()
    command = [sys.executable, "-c", _ENCODE, str(saved), str(source), str(tokens)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        child.kill()
    assert tokens.read_bytes() == before
    read_token_file(tokens)
    assert list(tmp_path.glob(".train.npy.*.partial"))
    tokenizer.encode_file(source, tokens)
    assert not list(tmp_path.glob(".*"))


_DIE_BEFORE_SIDECAR = """
import os, signal, sys
from bpe.tokenizer import Tokenizer
tokenizer = Tokenizer.load(sys.argv[1])
def hook(event, arguments):
    if event == "open" and ".npy.json." in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
tokenizer.encode_file(sys.argv[2], sys.argv[3])
"""


def test_a_kill_between_array_and_sidecar_never_leaves_an_old_sidecar(
    tmp_path: Path, saved: Path, tokens: Path
) -> None:
    (tmp_path / "other.txt").write_bytes(b"another text")
    command = [sys.executable, "-c", _DIE_BEFORE_SIDECAR, str(saved)]
    child = subprocess.run([*command, str(tmp_path / "other.txt"), str(tokens)], check=False)
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(TokenFileError, match=r"sidecar train\.npy\.json is missing"):
        read_token_file(tokens, verify=False)


_FILL_DISK = """
import resource, sys
from bpe.tokenizer import Tokenizer
tokenizer = Tokenizer.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_007, 10_007))
try:
    tokenizer.encode_file(sys.argv[2], sys.argv[3])
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("old", [True, False])
def test_a_full_disk_is_an_error_and_leaves_no_part(
    tmp_path: Path, saved: Path, source: Path, tokens: Path, old: bool
) -> None:
    before = tokens.read_bytes()
    target = tokens if old else tmp_path / "other.npy"
    command = [sys.executable, "-c", _FILL_DISK, str(saved), str(source), str(target)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "cannot write: File too large" in output
    assert str(target) in output
    assert not list(tmp_path.glob(".*"))
    assert tokens.read_bytes() == before
    assert target.exists() is old


def test_a_directory_that_is_not_there_is_named(
    tmp_path: Path, source: Path, tokenizer: Tokenizer
) -> None:
    target = tmp_path / "nowhere" / "train.npy"
    with pytest.raises(
        FileNotFoundError, match=r"cannot write: No such file or directory: .*train"
    ):
        tokenizer.encode_file(source, target)


def test_a_directory_in_the_way_is_named_and_kept(
    tmp_path: Path, source: Path, tokenizer: Tokenizer
) -> None:
    target = tmp_path / "train.npy"
    target.mkdir()
    with pytest.raises(IsADirectoryError, match=r"cannot write: Is a directory: .*train"):
        tokenizer.encode_file(source, target)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_missing_source_is_named_and_writes_nothing(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        tokenizer.encode_file(tmp_path / "nowhere.txt", tmp_path / "train.npy")
    assert not list(tmp_path.iterdir())


def test_the_temporary_file_of_a_living_writer_is_left_alone(
    tmp_path: Path, source: Path, saved: Path, tokenizer: Tokenizer
) -> None:
    target = tmp_path / "train.npy"
    command = [sys.executable, "-c", _ENCODE, str(saved), str(source), str(target)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        tokenizer.encode_file(source, target)
        assert len(list(tmp_path.glob(".train.npy.*.partial"))) == 1
        child.communicate("\n" * 100)
        assert child.returncode == 0
    read_token_file(target)
    shutil.rmtree(tmp_path)
