"""Token files: whole or absent, and refused with a reason when damaged."""

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bpe_reference import SPECIALS
from numpy.typing import NDArray

from bpe.token_file import TokenFileError, read_sidecar, read_token_file, token_dtype
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


@pytest.fixture
def source(tmp_path: Path, corpus: str) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_bytes((corpus[:30_011] + "<|endoftext|>\r\n\ufeff").encode())
    return path


@pytest.fixture
def tokens(tmp_path: Path, source: Path, tokenizer: Tokenizer) -> Path:
    return tokenizer.encode_file(source, tmp_path / "train.npy").path


def test_a_token_file_holds_the_ids_of_the_text(
    tokens: Path, source: Path, tokenizer: Tokenizer
) -> None:
    expected = tokenizer.encode(source.read_bytes().decode())
    assert np.load(tokens, mmap_mode="r").tolist() == expected
    assert read_token_file(tokens)[0].tolist() == expected


def test_the_array_cannot_be_written_through(tokens: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_token_file(tokens)[0][0] = 1


def test_the_sidecar_says_what_the_file_holds(
    tokens: Path, source: Path, tokenizer: Tokenizer
) -> None:
    fields = json.loads(tokens.with_name("train.npy.json").read_text())
    assert fields == {
        "format": 1,
        "tokenizer_sha256": tokenizer.sha256,
        "vocab_size": 769,
        "num_tokens": len(np.load(tokens)),
        "dtype": "uint16",
        "sha256": hashlib.sha256(tokens.read_bytes()).hexdigest(),
        "source": str(source),
    }


def test_the_report_counts_tokens_and_bytes(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "a.txt").write_bytes(b"the old man")
    report = tokenizer.encode_file(tmp_path / "a.txt", tmp_path / "a")
    assert report.path == tmp_path / "a.npy"
    assert (report.num_tokens, report.num_bytes, report.num_replacements) == (
        len(tokenizer.encode("the old man")),
        11,
        0,
    )


def test_large_vocabularies_take_uint32(tmp_path: Path, source: Path, trained: Trained) -> None:
    tokenizer = Tokenizer(*trained, {**dict.fromkeys(SPECIALS[:1], 0), "\ufeff": 70_000})
    path = tokenizer.encode_file(source, tmp_path / "wide.npy").path
    ids = np.load(path)
    assert ids.dtype == np.uint32
    assert ids[-1] == 70_000
    assert token_dtype(65_536) == np.uint16


def test_an_empty_text_makes_a_file_without_tokens(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "empty.txt").touch()
    path = tokenizer.encode_file(tmp_path / "empty.txt", tmp_path / "empty.npy").path
    assert len(np.load(path)) == len(read_token_file(path)[0]) == 0


def test_progress_runs_to_the_size_of_the_file(
    tmp_path: Path, source: Path, tokenizer: Tokenizer
) -> None:
    calls: list[tuple[int, int]] = []
    size = source.stat().st_size
    tokenizer.encode_file(
        source, tmp_path / "a.npy", progress=lambda done, total: calls.append((done, total))
    )
    assert calls[-1] == (size, size)
    assert calls == sorted(calls)


def test_a_second_encoding_replaces_the_first_with_the_same_bytes(
    tokens: Path, source: Path, tokenizer: Tokenizer
) -> None:
    first = tokens.read_bytes()
    tokenizer.encode_file(source, tokens)
    assert tokens.read_bytes() == first
    assert sorted(p.name for p in tokens.parent.iterdir()) == [
        "corpus.txt",
        "train.npy",
        "train.npy.json",
    ]


# Damage


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _save(array: NDArray[Any], path: Path) -> None:
    np.save(path, array)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "not a .npy array: 0 bytes"),
    "text": (lambda p: p.write_bytes(b"hello"), "not a .npy array: 5 bytes"),
    "only the header": (lambda p: p.write_bytes(p.read_bytes()[:128]), "truncated"),
    "half the header": (lambda p: p.write_bytes(p.read_bytes()[:60]), "not a .npy array"),
    "truncated": (_truncate, "truncated"),
    "an odd byte less": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "truncated"),
    "an odd byte more": (lambda p: p.write_bytes(p.read_bytes() + b"x"), "damaged"),
    "int64": (lambda p: _save(np.arange(5), p), "holds '<i8', not uint16"),
    "float": (lambda p: _save(np.ones(5, np.float32), p), "holds '<f4', not uint16"),
    "big-endian": (lambda p: _save(np.ones(5, ">u2"), p), "holds '>u2', not uint16"),
    "two axes": (lambda p: _save(np.ones((2, 3), np.uint16), p), "has the shape \\(2, 3\\)"),
    "no axis": (lambda p: _save(np.array(3, np.uint16), p), "has the shape \\(\\)"),
    "objects": (lambda p: _save(np.array([{}], dtype=object), p), "holds '\\|O'"),
    "another array": (lambda p: _save(np.ones(5, np.uint16), p), "num_tokens is 5, but its"),
    "no sidecar": (lambda p: p.with_name("train.npy.json").unlink(), "sidecar .* is missing"),
    "text as sidecar": (lambda p: p.with_name("train.npy.json").write_text("hi"), "not JSON"),
    "list as sidecar": (lambda p: p.with_name("train.npy.json").write_text("[]"), "the fields"),
    "wrong field": (
        lambda p: p.with_name("train.npy.json").write_text(
            p.with_name("train.npy.json").read_text().replace(": 769", ': "769"')
        ),
        "vocab_size is '769'",
    ),
    "later format": (
        lambda p: p.with_name("train.npy.json").write_text(
            p.with_name("train.npy.json").read_text().replace('format": 1', 'format": 2')
        ),
        "format is 2",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_token_file_is_refused_by_name(tokens: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    damage(tokens)
    with pytest.raises(TokenFileError, match=message) as error:
        read_token_file(tokens, verify=False)
    assert str(error.value).startswith(str(tokens))
    assert "\n" not in str(error.value)


def test_a_token_id_beyond_the_vocabulary_is_named_with_its_place(tokens: Path) -> None:
    data = bytearray(tokens.read_bytes())
    data[128 + 2 * 101 : 128 + 2 * 102] = (50_000).to_bytes(2, "little")
    tokens.write_bytes(data)
    with pytest.raises(
        TokenFileError, match=r"50000 at position 101 \(byte 330\) is outside 0\.\.768"
    ):
        read_token_file(tokens)


def test_a_file_of_another_tokenizer_is_refused(tokens: Path) -> None:
    with pytest.raises(TokenFileError, match="encoded by tokenizer"):
        read_token_file(tokens, tokenizer_sha256="0" * 64)


def test_a_file_of_a_larger_vocabulary_is_refused(tokens: Path) -> None:
    with pytest.raises(TokenFileError, match="vocab_size 769, more than 768"):
        read_token_file(tokens, vocab_size=768)


def test_every_flipped_bit_is_found(tokens: Path) -> None:
    whole = tokens.read_bytes()
    source = random.Random(11)
    for at in [*range(128), *(source.randrange(128, len(whole)) for _ in range(101))]:
        data = bytearray(whole)
        data[at] ^= 1 << source.randrange(8)
        tokens.write_bytes(data)
        with pytest.raises(TokenFileError):
            read_token_file(tokens)


def test_every_mutation_of_a_sidecar_is_refused_or_harmless(tokens: Path) -> None:
    place = tokens.with_name("train.npy.json")
    whole = place.read_bytes()
    good = read_sidecar(tokens)
    source = random.Random(13)
    for _ in range(307):
        data = bytearray(whole)
        for _ in range(source.randrange(1, 5)):
            data[source.randrange(len(data))] = source.randrange(256)
        place.write_bytes(
            data[: source.randrange(len(data) + 1)] if source.random() < 0.3 else data
        )
        try:
            found = read_token_file(tokens, vocab_size=769)[1]
        except TokenFileError:
            continue
        # What only describes the file may differ; what it holds may not.
        assert (found.num_tokens, found.dtype, found.sha256) == (
            good.num_tokens,
            good.dtype,
            good.sha256,
        )


# Interruption

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
