"""A file is read byte for byte, and what is not UTF-8 in it is named or counted."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpe.text_file import TextFile

TmpPaths = pytest.TempPathFactory
broken_bytes = st.lists(
    st.sampled_from(
        [b"a", b"\n", b"\xff", b"\xe6\xbc", b"\xa2", b"\xef\xbf\xbd", b"\xf0\x9f", b"\xc0"]
    )
).map(b"".join)
piece_sizes = st.integers(1, 7)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "corpus.txt"


@given(text=st.text(), size=piece_sizes)
def test_pieces_joined_are_the_text(path: Path, text: str, size: int) -> None:
    path.write_bytes(text.encode())
    assert "".join(TextFile(path, piece_bytes=size)) == text


@given(data=broken_bytes, size=piece_sizes)
def test_malformed_bytes_are_replaced_as_python_does(path: Path, data: bytes, size: int) -> None:
    path.write_bytes(data)
    text = TextFile(path, errors="replace", piece_bytes=size)
    assert "".join(text) == data.decode(errors="replace")


@given(data=broken_bytes, size=piece_sizes)
def test_only_replacements_are_counted(path: Path, data: bytes, size: int) -> None:
    path.write_bytes(data)
    text = TextFile(path, errors="replace", piece_bytes=size)
    list(text)
    # Removed, a U+FFFD of the file itself could join what lies on both sides of it.
    apart = data.replace(b"\xef\xbf\xbd", b"|")
    assert text.num_replacements == apart.decode(errors="replace").count("\ufffd")


@given(data=broken_bytes, size=piece_sizes)
def test_first_invalid_byte_is_named(path: Path, data: bytes, size: int) -> None:
    path.write_bytes(data)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = f"invalid byte 0x{data[error.start]:02x} at offset {error.start} (line {line})"
        with pytest.raises(ValueError, match="invalid byte") as caught:
            list(TextFile(path, piece_bytes=size))
        assert str(caught.value).startswith(f"{path}: {place}")
    else:
        assert "".join(TextFile(path, piece_bytes=size)) == data.decode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"one"), r"0x8b .*; it looks like gzip: unpack it first \(zcat FILE"),
        (b"\x28\xb5\x2f\xfd\x04\x00", r"0xb5 .*; it looks like zstd: .* \(zstdcat FILE"),
        (b"\x28\xb5\x2f\xfe", r"0xb5 .*; the text must be UTF-8$"),
        (b"\x1f\x1f\x8b", r"0x8b .*; the text must be UTF-8$"),
    ],
)
def test_packed_bytes_are_called_so(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        list(TextFile(path))


def test_offset_and_line_are_counted_across_pieces(path: Path) -> None:
    path.write_bytes(b"seven b\n" * 10_007 + b"\xff")
    with pytest.raises(ValueError, match=r"0xff at offset 80,056 \(line 10,008\)"):
        list(TextFile(path, piece_bytes=4099))


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfone", b"one\r\ntwo\rthree\n", b"a\x00b", b"\x1a"])
def test_bytes_are_read_as_they_are(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert "".join(TextFile(path)).encode() == data


def test_progress_ends_at_the_size(path: Path) -> None:
    path.write_bytes(b"one two three")
    seen: list[tuple[int, int]] = []
    list(TextFile(path, piece_bytes=5, progress=lambda *step: seen.append(step)))
    assert seen == [(5, 13), (10, 13), (13, 13)]
