"""Counts of pretokens do not depend on how the work is split."""

import re
from collections import Counter
from pathlib import Path

import pytest

from bpe.counting import count_pretokens
from bpe.patterns import compile_pattern
from bpe.pretoken_counts import PretokenCounts

TEXT = (
    "One morning, Ana's dog (the old one) found 12 keys.<|end|>\r\n"
    "Wo ist der Schlüssel?\n\n  Unter der Brücke!<|end|>長い文章。🙂🙂 it's\t'twas  1234567\n"
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_bytes((TEXT * 101).encode())
    return path


def count(*paths: Path, **options: object) -> PretokenCounts:
    return count_pretokens(paths, ["<|end|>"], **options)  # type: ignore[arg-type]


def test_counts_equal_a_scan_of_the_whole_text(corpus: Path) -> None:
    documents = re.split(re.escape("<|end|>"), TEXT * 101)
    pretokens = [token for text in documents for token in compile_pattern("gpt2").findall(text)]
    assert count(corpus).counts == Counter(pretokens)


def test_special_tokens_are_not_counted(corpus: Path) -> None:
    assert not any("end" in pretoken for pretoken in count(corpus).counts)


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", r"\w+|\W"])
@pytest.mark.parametrize("chunk_bytes", [11, 1009, 1 << 20])
def test_counts_do_not_depend_on_chunk_size(corpus: Path, pattern: str, chunk_bytes: int) -> None:
    chunked = count(corpus, pattern=pattern, chunk_bytes=chunk_bytes)
    assert chunked == count(corpus, pattern=pattern)


@pytest.mark.parametrize("workers", [2, 3])
def test_counts_do_not_depend_on_workers(corpus: Path, workers: int) -> None:
    assert count(corpus, workers=workers, chunk_bytes=1009) == count(corpus, workers=1)


def test_files_are_separate_texts(tmp_path: Path) -> None:
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("over")
    second.write_text("all")
    assert count(first, second).counts == {"over": 1, "all": 1}


def test_line_ends_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "windows.txt"
    path.write_bytes(b"a\r\nb\rc")
    assert count(path).counts == {"a": 1, "\r": 2, "\n": 1, "b": 1, "c": 1}


def test_bytes_read_are_reported_and_end_at_the_size(corpus: Path) -> None:
    seen: list[int] = []
    found = count(corpus, chunk_bytes=1009, on_read=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == corpus.stat().st_size == found.num_bytes


@pytest.mark.parametrize("workers", [1, 2])
def test_invalid_byte_is_an_error(corpus: Path, workers: int) -> None:
    corpus.write_bytes(corpus.read_bytes() + b"\xff")
    with pytest.raises(ValueError, match=r"corpus\.txt: invalid byte 0xff at offset 15,655 "):
        count(corpus, workers=workers, chunk_bytes=1009)


def test_replacements_are_counted_for_each_file(corpus: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"one \xff two \xe6\xbc")
    found = count(corpus, broken, errors="replace")
    assert found.num_replacements == {str(broken): 2}
    assert found.counts[" \ufffd"] == 2


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.txt"):
        count(tmp_path / "missing.txt")
