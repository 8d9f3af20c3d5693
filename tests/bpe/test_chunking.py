"""Chunks of a file hold exactly the pretokens of the whole file."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpe.chunking import ChunkCutter, TextReader, read_chunks
from bpe.patterns import PATTERNS, compile_pattern
from bpe.pretokenize import split_pretokens
from bpe.specials import split_on_specials

# Every class that a pattern or a cut tells apart, and the characters of the specials below.
tricky_texts = st.text(" \n\r\t'sSltv9.!/-éA\u0301\u02b0漢🙂\u00a0\u2028<|>")
SPECIALS = [[], ["<|>"], ["<", "<|>|"], ["s|> t", "> "], ["'s", "é"], ["||", "|>"]]


def tokenize(text: str, pattern: str, specials: list[str]) -> list[str]:
    compiled = compile_pattern(pattern)
    pretokens: list[str] = []
    for piece, is_special in split_on_specials(text, specials):
        pretokens += [piece] if is_special else split_pretokens(compiled, piece)
    return pretokens


def chunks_of(data: bytes, pattern: str, specials: list[str], chunk_bytes: int) -> list[str]:
    cutter = ChunkCutter(compile_pattern(pattern), specials)
    return list(read_chunks(TextReader(io.BytesIO(data), "corpus.txt"), cutter, chunk_bytes))


def read_all(reader: TextReader, block: int) -> str:
    return "".join(iter(lambda: reader.read(block), ""))


@pytest.mark.parametrize("pattern", [*PATTERNS, r"\w+ \w+|[^<]{2}", r"(?<=a.*)\w|."])
@given(text=tricky_texts, specials=st.sampled_from(SPECIALS), chunk_bytes=st.integers(1, 13))
@example(text="<|><|>|<|>| < |> s|> t's|", specials=["<", "<|>|"], chunk_bytes=3)
def test_chunks_have_the_pretokens_of_the_whole(
    pattern: str, text: str, specials: list[str], chunk_bytes: int
) -> None:
    chunks = chunks_of(text.encode(), pattern, specials, chunk_bytes)
    pretokens = [token for chunk in chunks for token in tokenize(chunk, pattern, specials)]
    assert pretokens == tokenize(text, pattern, specials)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=tricky_texts, specials=st.sampled_from(SPECIALS))
def test_every_cut_keeps_the_pretokens(pattern: str, text: str, specials: list[str]) -> None:
    cutter = ChunkCutter(compile_pattern(pattern), specials)
    whole = tokenize(text, pattern, specials)
    for end in range(len(text) + 1):
        cut = cutter.last_cut(text[:end])
        assert (
            tokenize(text[:cut], pattern, specials) + tokenize(text[cut:], pattern, specials)
            == whole
        )


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("unit", ["the quick fox\r\n", "0f3a9c", "長い文章。", "- ! - "])
def test_chunks_are_bounded_without_line_breaks(pattern: str, unit: str) -> None:
    data = (unit * 1009).encode()
    chunks = chunks_of(data, pattern, ["<|endoftext|>"], 101)
    assert max(len(chunk.encode()) for chunk in chunks) < 4 * 101


def test_other_patterns_are_cut_at_specials_alone() -> None:
    chunks = chunks_of(b"one two<e>three four<e>five", r"\w+ \w+|.", ["<e>"], 5)
    assert chunks == ["one two", "<e>three four", "<e>five"]


def test_reading_a_file_without_a_cut_is_linear() -> None:
    reads: list[int] = []

    class Stream(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            reads.append(size or 0)
            return super().read(size)

    cutter = ChunkCutter(compile_pattern("gpt2"), [])
    reader = TextReader(Stream(b"a" * 100_003), "corpus.txt")
    assert [len(chunk) for chunk in read_chunks(reader, cutter, 7)] == [100_003]
    # 7 bytes, doubled until 100,003 are read, then the end.
    assert len(reads) < 20


@given(st.text(), st.integers(1, 7))
def test_reader_returns_the_text_at_any_block_size(text: str, block: int) -> None:
    reader = TextReader(io.BytesIO(text.encode()), "corpus.txt")
    assert read_all(reader, block) == text


broken_bytes = st.lists(
    st.sampled_from(
        [b"a", b"\n", b"\xff", b"\xe6\xbc", b"\xa2", b"\xef\xbf\xbd", b"\xf0\x9f", b"\xc0"]
    )
).map(b"".join)


@given(broken_bytes, st.integers(1, 7))
def test_reader_replaces_as_python_does(data: bytes, block: int) -> None:
    reader = TextReader(io.BytesIO(data), "corpus.txt", "replace")
    assert read_all(reader, block) == data.decode(errors="replace")


@given(broken_bytes, st.integers(1, 7))
def test_reader_counts_replacements_only(data: bytes, block: int) -> None:
    reader = TextReader(io.BytesIO(data), "corpus.txt", "replace")
    read_all(reader, block)
    # Removed, the U+FFFD of the file itself could join what lies on both sides of it.
    apart = data.replace(b"\xef\xbf\xbd", b"|")
    assert reader.num_replaced == apart.decode(errors="replace").count("\ufffd")


@given(broken_bytes, st.integers(1, 7))
def test_reader_names_the_first_invalid_byte(data: bytes, block: int) -> None:
    reader = TextReader(io.BytesIO(data), "corpus.txt")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        expected = (
            f"corpus.txt: invalid byte 0x{data[error.start]:02x} at offset {error.start} "
            f"(line {line})"
        )
        with pytest.raises(ValueError, match="invalid byte") as caught:
            read_all(reader, block)
        assert str(caught.value).startswith(expected)
    else:
        assert read_all(reader, block) == data.decode()


def test_offset_and_line_are_counted_across_blocks() -> None:
    data = b"seven b\n" * 10_007 + b"\xff"
    reader = TextReader(io.BytesIO(data), "corpus.txt")
    with pytest.raises(ValueError, match=r"0xff at offset 80,056 \(line 10,008\)"):
        read_all(reader, 4099)


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfone", b"one\r\ntwo\rthree\n", b"a\x00b", b"\x1a"])
def test_bytes_are_read_as_they_are(data: bytes) -> None:
    assert TextReader(io.BytesIO(data), "corpus.txt").read(101).encode() == data
