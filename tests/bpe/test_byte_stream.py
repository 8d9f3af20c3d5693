"""Files are unpacked in bounded memory, here and elsewhere, and damage in them is named."""

import gzip
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

import fsspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bpe import Tokenizer
from bpe.byte_stream import ByteStream, DamagedFileError, stored_size

TmpPaths = pytest.TempPathFactory

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    # With a checksum, as the command zstd does.
    ".zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
DATA = "".join(map(str, range(10_007))).encode()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: TmpPaths) -> Path:
    return tmp_path_factory.mktemp("stream")


def read(path: str | Path, size: int = 1009) -> bytes:
    with ByteStream(path) as stream:
        return b"".join(iter(lambda: stream.read(size) or b"", b""))


@pytest.mark.parametrize("suffix", PACK)
@given(parts=st.lists(st.binary(max_size=7), min_size=1), size=st.integers(1, 5))
def test_bytes_of_all_members_are_unpacked(
    directory: Path, suffix: str, parts: list[bytes], size: int
) -> None:
    path = directory / f"a.txt{suffix}"
    path.write_bytes(b"".join(map(PACK[suffix], parts)))
    assert read(path, size) == b"".join(parts)


@pytest.mark.parametrize("suffix", PACK)
def test_bytes_read_are_those_of_the_stored_file(directory: Path, suffix: str) -> None:
    path = directory / f"a.txt{suffix}"
    path.write_bytes(PACK[suffix](DATA))
    with ByteStream(path) as stream:
        assert (stream.num_read, stream.size) == (0, path.stat().st_size)
        assert BufferedReader(stream).read() == DATA
        assert stream.num_read == path.stat().st_size == stored_size(path)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_cut_short_anywhere_is_refused(directory: Path, suffix: str) -> None:
    whole = PACK[suffix](DATA)
    path = directory / f"torn.txt{suffix}"
    for length in [*range(31), *range(31, len(whole), 251), *range(len(whole) - 13, len(whole))]:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=r"torn\.txt") as error:
            read(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_no_damage_raises_another_kind_of_error(directory: Path, suffix: str) -> None:
    whole = PACK[suffix](DATA)
    path = directory / f"damaged{suffix}"
    source = random.Random(suffix)
    found = 0
    for _ in range(211):
        data = bytearray(whole)
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        path.write_bytes(data)
        try:
            read(path)
        except DamagedFileError:
            found += 1
    # What the checksums do not cover may change: the time in a header of gzip, for one.
    assert found > 200


@pytest.mark.parametrize(("suffix", "name"), [(".gz", "gzip"), (".zst", "zstd")])
def test_another_file_under_that_name_is_refused(directory: Path, suffix: str, name: str) -> None:
    path = directory / f"hello{suffix}"
    path.write_bytes(b"hello")
    with pytest.raises(DamagedFileError, match=f"damaged, or not {name}"):
        read(path)


# Not getrusage: what that says of a new process begins with the size of its parent.
_PEAK = """
import sys
from bpe.byte_stream import ByteStream
with ByteStream(sys.argv[1]) as stream:
    length = sum(iter(lambda: len(stream.read(1 << 18)), 0))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(length, int(status["VmHWM"].split()[0]) >> 10)
"""


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_unpacks_to_much_takes_little_memory(directory: Path, suffix: str) -> None:
    path = directory / f"zeros{suffix}"
    if suffix == ".gz":
        engine = zlib.compressobj(1, zlib.DEFLATED, 31)
        pieces = [engine.compress(bytes(1 << 20)) for _ in range(307)]
        path.write_bytes(b"".join(pieces) + engine.flush())
    else:
        path.write_bytes(zstandard.compress(bytes(307 << 20), 1))
    output = subprocess.run(
        [sys.executable, "-c", _PEAK, path], check=True, capture_output=True, text=True
    ).stdout
    length, megabytes = map(int, output.split())
    assert length == 307 << 20
    assert megabytes < 150


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("place", ["memory://stream-test/a.txt", "file://{}/remote.txt"])
def test_files_elsewhere_are_read_through_fsspec(directory: Path, suffix: str, place: str) -> None:
    path = place.format(directory) + suffix
    with fsspec.open(path, "wb") as file:
        file.write(PACK[suffix](DATA))
    assert read(path) == DATA
    assert stored_size(path) == len(PACK[suffix](DATA))


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("memory://stream-test/none.txt", FileNotFoundError, "No such file or directory"),
        ("nowhere://a.txt", ValueError, "nowhere://a.txt: Protocol not known"),
        ("none.txt.gz", FileNotFoundError, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named(path: str, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as error:
        read(path)
    assert path in str(error.value)


@pytest.mark.parametrize(
    ("module", "name"),
    [("zstandard", "a.txt.zst"), ("fsspec", "file:///a.txt"), ("pyarrow", "a.parquet")],
)
def test_a_missing_package_is_named(directory: Path, module: str, name: str) -> None:
    (directory / name.rpartition("/")[2]).write_bytes(b"x")
    block = f"import sys; sys.modules[{module!r}] = None; "
    command = "import bpe.cli; sys.argv[0] = 'bpe'; sys.exit(bpe.cli.main())"
    arguments = ["train", name, "--vocab-size", "257", "--out", "tok"]
    finished = subprocess.run(
        [sys.executable, "-c", block + command, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stderr == f"bpe: {name}: reading it needs {module}: pip install {module}\n"


@pytest.mark.parametrize("suffix", PACK)
def test_a_packed_text_is_encoded_as_the_text(
    directory: Path, tokenizer: Tokenizer, corpus: str, suffix: str
) -> None:
    (directory / f"corpus.txt{suffix}").write_bytes(PACK[suffix](corpus.encode()))
    (directory / "corpus.txt").write_bytes(corpus.encode())
    expected = tokenizer.encode_file(directory / "corpus.txt", directory / "expected.npy")
    found = tokenizer.encode_file(directory / f"corpus.txt{suffix}", directory / "found.npy")
    assert found.path.read_bytes() == expected.path.read_bytes()
    assert found.num_bytes == expected.num_bytes == len(corpus.encode())


def test_a_torn_file_leaves_no_token_file(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(DATA)[:-9])
    with pytest.raises(DamagedFileError, match="cut short"):
        tokenizer.encode_file(tmp_path / "a.txt.gz", tmp_path / "a.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt.gz"]
