"""Kernels are compiled once per machine, found again, never taken from where others can write."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bpe
from bpe.engines import COMPILE_FROM_BYTES, KERNELS_FROM_BYTES, Engine, choose_engine
from bpe.kernels import cache, library
from bpe.kernels.compiler import emit_object, shared


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BPE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


def _raises(value: int) -> int:
    if value > 3:
        raise ValueError("never in a kernel")
    return value


def _doubles(value: int) -> int:
    return 2 * value


_shared_raises = shared(_raises)


def _calls_what_raises(value: int) -> int:
    return _shared_raises(value)


def test_what_is_written_is_read_again(cache_dir: Path) -> None:
    cache.write("table", "key1", b"some\nbytes\x00")
    assert cache.read("table", "key1") == b"some\nbytes\x00"


def test_another_key_finds_nothing_and_replaces_the_old_one(cache_dir: Path) -> None:
    cache.write("table", "key1", b"old")
    assert cache.read("table", "key2") is None
    cache.write("table", "key2", b"new")
    assert [path.name for path in cache_dir.iterdir()] == ["bpe-table-key2.bin"]


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d[:-1] + b"!", lambda d: b""])
def test_a_damaged_file_is_not_used(cache_dir: Path, damage: object) -> None:
    path = cache.write("table", "key1", b"machine code")
    assert path is not None
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read("table", "key1") is None


def test_a_file_that_others_may_write_is_not_used(cache_dir: Path) -> None:
    path = cache.write("table", "key1", b"machine code")
    assert path is not None
    path.chmod(0o666)
    assert cache.read("table", "key1") is None


def test_a_directory_that_cannot_be_made_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BPE_CACHE_DIR", str(tmp_path / "file"))
    assert cache.write("table", "key1", b"machine code") is None
    assert cache.read("table", "key1") is None


def test_a_package_that_cannot_be_written_uses_the_users_cache(tmp_path: Path) -> None:
    package = tmp_path / "bpe"
    source = Path(bpe.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "kernels" / "__pycache__").touch()
    code = (
        "from bpe.kernels import cache\n"
        "print(cache.write('table', 'key1', b'code'), cache.read('table', 'key1'))"
    )
    printed = _run(code, PYTHONPATH=str(tmp_path), HOME=str(tmp_path), PATH="")
    path, content = printed.split()
    assert Path(path).is_relative_to(tmp_path)
    assert not Path(path).is_relative_to(package)
    assert content == "b'code'"


_HOLD_LOCKS = """
import fcntl, sys
from pathlib import Path
directory = Path(sys.argv[1])
held = [path.open("rb") for path in directory.iterdir()]
for file in held:
    fcntl.flock(file, fcntl.LOCK_EX)
print("holds", len(held), flush=True)
sys.stdin.readline()
"""


def test_a_process_that_holds_every_lock_of_the_cache_makes_nobody_wait(cache_dir: Path) -> None:
    cache.write("table", "key1", b"old")
    command = [sys.executable, "-c", _HOLD_LOCKS, str(cache_dir)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds 1\n"
        # Another process, so that one which waits can be ended.
        code = (
            "from bpe.kernels import cache\n"
            "print(cache.read('table', 'key1'))\n"
            "print(cache.write('table', 'key2', b'new') is not None, cache.read('table', 'key2'))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "BPE_CACHE_DIR": str(cache_dir)},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        holder.kill()
    assert done.stdout.split("\n")[:2] == ["b'old'", "True b'new'"]


def test_compiled_kernels_load_without_the_compiler() -> None:
    library.load("training")
    code = (
        "import sys, bpe\n"
        "assert 'llvmlite' not in sys.modules, 'llvmlite at import'\n"
        "from bpe.kernels import library\n"
        "library.load('training'), library.class_table()\n"
        "print('llvmlite' in sys.modules, 'numba' in sys.modules)"
    )
    assert _run(code) == "True False"


@pytest.mark.parametrize("name", library.LIBRARIES)
def test_the_key_covers_every_module_of_a_library(name: str) -> None:
    code = (
        "import importlib, sys\n"
        "from bpe.kernels import library\n"
        "before = set(sys.modules)\n"
        f"for module in library.LIBRARIES[{name!r}]: importlib.import_module(module)\n"
        f"known = set(library._sources({name!r}))\n"
        "own = [sys.modules[n] for n in set(sys.modules) - before if n.startswith('bpe.')]\n"
        "print([m.__name__ for m in own if open(m.__file__, 'rb').read() not in known])"
    )
    assert _run(code) == "[]"


@pytest.mark.parametrize("kernel", [_raises, _calls_what_raises])
def test_a_kernel_that_could_raise_is_refused(kernel: object) -> None:
    with pytest.raises(RuntimeError, match="could raise"):
        emit_object([kernel])  # type: ignore[list-item]


def test_a_kernel_is_exported_with_its_number_of_arguments() -> None:
    _, table = emit_object([_doubles])
    assert [number for _, number in table.values()] == [1]


@pytest.mark.parametrize(
    ("engine", "num_bytes", "chosen"),
    [
        ("reference", 1 << 40, "reference"),
        ("kernels", 1, "kernels"),
        ("auto", KERNELS_FROM_BYTES - 1, "reference"),
        ("auto", COMPILE_FROM_BYTES, "kernels"),
    ],
)
def test_engine_follows_the_size_of_the_work(engine: Engine, num_bytes: int, chosen: str) -> None:
    assert choose_engine(engine, num_bytes) == chosen


def test_small_work_waits_for_no_compiler(cache_dir: Path) -> None:
    assert choose_engine("auto", COMPILE_FROM_BYTES - 1) == "reference"


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="engine='rust' is not one of 'auto', 'reference'"):
        choose_engine("rust", 1)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform != "linux", reason="lays out memory by Linux's rules")
def test_kernels_link_where_free_memory_is_scattered() -> None:
    """Free addresses are twelve holes of 16 kB, 3 GB apart: no two sections fit side by side."""
    program = """
import ctypes
from bpe.kernels import cache, library
library.load("training")
content = cache.read(library._name("training"), library._key("training"))
system = ctypes.CDLL(None)
system.mmap.restype = ctypes.c_void_p
system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
system.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
ANONYMOUS, PRIVATE, NORESERVE = 0x20, 0x02, 0x4000

def take(size):
    return system.mmap(None, size, 0, ANONYMOUS | PRIVATE | NORESERVE, -1, 0)

taken, size = take(40 << 30), 1 << 24
while size >= 4096:
    if (above := take(size)) < taken:
        system.munmap(above, size)
        size //= 2
for hole in range(12):
    system.munmap(taken + (39 - 3 * hole << 30), 16384)
library._link("training", content)
print("linked")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout == "linked\n", ended.stderr
