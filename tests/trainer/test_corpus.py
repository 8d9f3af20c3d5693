import gzip
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.corpus import (
    corpus_size,
    count_marks,
    first_bytes,
    join_files,
    split_tail,
    text_sha256,
)

END = b"<|endoftext|>"


def ignore(_: int) -> None:
    pass


def split(tmp_path: Path, content: bytes, target: int) -> tuple[bytes, bytes]:
    text, tail = tmp_path / "text", tmp_path / "tail"
    text.write_bytes(content)
    split_tail(text, tail, target, END)
    return text.read_bytes(), tail.read_bytes()


@pytest.mark.parametrize("name", ["missing.txt", "empty.txt", "."])
def test_file_without_text_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match=str(tmp_path / name)):
        corpus_size([tmp_path / name])


def test_size_is_that_of_all_files(tmp_path: Path) -> None:
    for name, size in (("a", 3), ("b", 5)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert corpus_size([tmp_path / "a", tmp_path / "b"]) == 8


def test_byte_that_is_no_text_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"good\nbad: \xff")
    with pytest.raises(ValueError, match=r"bad\.txt: invalid byte 0xff at offset 10 \(line 2\)"):
        text_sha256(path, ignore)


def test_files_are_joined_by_the_separator_byte_for_byte(tmp_path: Path) -> None:
    first, second = "one\r\n\0", "\ufefftwo\u2028"
    (tmp_path / "a").write_bytes(first.encode())
    (tmp_path / "b").write_bytes(second.encode())
    join_files([tmp_path / "a", tmp_path / "b"], tmp_path / "c", END, progress=ignore)
    assert (tmp_path / "c").read_bytes() == first.encode() + END + second.encode()


def test_ends_of_joined_files_count_the_separator_as_the_first_ones(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"three" + END)
    (tmp_path / "c").write_bytes(b"eleven")
    files = [tmp_path / name for name in "abc"]
    ends = join_files(files, tmp_path / "d", END, progress=ignore)
    joined = (tmp_path / "d").read_bytes()
    assert [joined[a:b] for a, b in zip([0, *ends], ends, strict=False)] == [
        b"one" + END,
        b"three" + END,
        b"eleven",
    ]


def test_packed_file_is_unpacked_as_it_is_joined(tmp_path: Path) -> None:
    text = b"line\n" * 700_001
    packed = gzip.compress(text)
    (tmp_path / "a.gz").write_bytes(packed)
    read: list[int] = []
    join_files([tmp_path / "a.gz"], tmp_path / "b", END, progress=read.append)
    assert (tmp_path / "b").read_bytes() == text
    assert sum(read) == len(packed)


def test_hash_of_a_packed_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    packed = gzip.compress(b"text\n" * 7)
    (tmp_path / "a.gz").write_bytes(packed)
    assert text_sha256(tmp_path / "a.gz", ignore) == hashlib.sha256(packed).hexdigest()


def test_packed_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"text\n" * 7000)[:-11])
    with pytest.raises(ValueError, match=r"a\.gz: cut short"):
        join_files([tmp_path / "a.gz"], tmp_path / "b", END, progress=ignore)


def test_marks_are_counted_up_to_each_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" + END + END + b"xyz" + END)
    ends = [1 + len(END), 1 + 2 * len(END), 4 + 2 * len(END), 4 + 3 * len(END)]
    assert count_marks(tmp_path / "a", END, ends) == [1, 2, 2, 3]


def test_cut_falls_after_a_separator(tmp_path: Path) -> None:
    documents = [b"x" * n + b"\n" + END for n in (50, 40, 7, 9)]
    head, tail = split(tmp_path, b"".join(documents), target=50)
    assert head == b"".join(documents[:2])
    assert tail == b"".join(documents[2:])


def test_cut_falls_after_a_line_where_there_are_no_documents(tmp_path: Path) -> None:
    lines = [b"x" * 12 + b"\n"] * 11
    head, tail = split(tmp_path, b"".join(lines), target=29)
    assert head.endswith(b"\n")
    assert len(tail) in (26, 39)


def test_far_separator_does_not_take_the_tail_away(tmp_path: Path) -> None:
    content = b"\n".join([b"y" * 9] * 100) + END + b"z"
    _, tail = split(tmp_path, content, target=300)
    assert len(tail) >= 150


@given(text=st.text(alphabet="aé😀", min_size=2), target=st.integers(1, 400))
def test_cut_never_tears_a_character(
    tmp_path_factory: pytest.TempPathFactory, text: str, target: int
) -> None:
    content = text.encode()
    head, tail = split(tmp_path_factory.mktemp("cut"), content, min(target, len(content) - 1))
    assert head.decode() + tail.decode() == text


def test_short_text_is_taken_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"short\n")
    assert first_bytes(text, tmp_path / "part", 6) == text


@pytest.mark.parametrize(
    ("content", "limit", "part"),
    [("ab\ncd\nef\n", 7, "ab\ncd\n"), ("ééé", 5, "éé"), ("abcdef", 5, "abcde")],
)
def test_part_ends_with_a_line_or_else_a_character(
    tmp_path: Path, content: str, limit: int, part: str
) -> None:
    text = tmp_path / "text"
    text.write_text(content)
    assert first_bytes(text, tmp_path / "part", limit).read_text() == part
