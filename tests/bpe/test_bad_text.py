"""Text that is not UTF-8: one line with the byte, its offset and its line, or a count."""

from pathlib import Path

import numpy as np
import pytest

from bpe.tokenizer import Tokenizer


@pytest.mark.parametrize("at", [0, 5, 262_143, 262_144, 300_000])
def test_an_invalid_byte_is_named_with_offset_and_line(
    tmp_path: Path, tokenizer: Tokenizer, at: int
) -> None:
    data = bytearray(b"one\ntwo\n" * 50_000)
    data[at] = 0xFF
    (tmp_path / "corpus.txt").write_bytes(data)
    line = 1 + data[:at].count(b"\n")
    expected = f"invalid byte 0xff at offset {at:,} (line {line:,})"
    with pytest.raises(ValueError, match=r"corpus\.txt: invalid byte") as error:
        tokenizer.encode_file(tmp_path / "corpus.txt", tmp_path / "a.npy")
    assert expected in str(error.value)
    assert not (tmp_path / "a.npy").exists()


def test_a_character_cut_by_the_end_of_the_file_is_named(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    (tmp_path / "corpus.txt").write_bytes("a\n東京".encode()[:-1])
    with pytest.raises(ValueError, match=r"invalid byte 0xe4 at offset 5 \(line 2\)"):
        tokenizer.encode_file(tmp_path / "corpus.txt", tmp_path / "a.npy")


def test_replaced_bytes_are_counted(tmp_path: Path, tokenizer: Tokenizer) -> None:
    data = b"a\xffb\xe6\x9d c \xef\xbf\xbd d\xed\xa0\x80" + "東".encode() * 100_003 + b"\xf0\x9f"
    (tmp_path / "corpus.txt").write_bytes(data)
    report = tokenizer.encode_file(tmp_path / "corpus.txt", tmp_path / "a.npy", errors="replace")
    text = data.decode(errors="replace")
    assert np.load(report.path).tolist() == tokenizer.encode(text)
    assert report.num_replacements == text.count("\ufffd") - 1
    assert report.num_bytes == len(data)


@pytest.mark.parametrize("text", [b"bytes", 5, None])
def test_what_is_not_text_is_refused(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(TypeError, match="not a str"):
        tokenizer.encode(text)
