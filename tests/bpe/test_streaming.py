"""Streams: the same ids at any chunk borders, lazily, in constant memory; whole characters back."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bpe_reference import SPECIALS, chunkings, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from bpe.patterns import PATTERNS, compile_pattern
from bpe.specials import split_on_specials
from bpe.streaming import WINDOW, cut_stream, gathered, settled_pretokens, split_stream, well_formed
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]

# Specials that begin, end, hold or overlap one another.
_TANGLED = ["<|a|>", "<|a|><|a|>", "|>", "<", "a|><|b", "the", "the old", " old "]


@pytest.fixture(scope="module", params=[*PATTERNS, r"\p{L}+(?=[^!]*!)|[\s\S]"])
def tangled(request: pytest.FixtureRequest, trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, [*SPECIALS, *_TANGLED], pattern=request.param)


@given(data=st.data())
@settings(max_examples=150)
def test_any_chunking_gives_the_ids_of_the_joined_text(
    tangled: Tokenizer, data: st.DataObject
) -> None:
    text = data.draw(texts([*SPECIALS, *_TANGLED], max_fragments=13))
    chunks = data.draw(chunkings(text))
    specials = data.draw(st.sampled_from(["all", "none", _TANGLED]))
    found = list(tangled.encode_iterable(chunks, allowed_special=specials))
    assert found == tangled.encode(text, allowed_special=specials)


@given(data=st.data())
@settings(max_examples=100)
def test_a_settled_pretoken_stays_whatever_follows(data: st.DataObject) -> None:
    pattern = compile_pattern(data.draw(st.sampled_from(list(PATTERNS))))
    text, more = data.draw(texts(max_fragments=11)), data.draw(texts(max_fragments=5))
    pretokens, end = settled_pretokens(pattern, text)
    assert pattern.findall(text + more)[: len(pretokens)] == pretokens
    assert sum(map(len, pretokens)) == end


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "text",
    [
        "we'll don't WE'LL he's'd 'tis ''s",
        "a  b \n c\n\n  d\t\te \r\n \n",
        "東京ABCDEFGHd ABCdEF ǅabc e\u0301\u0301f 東'LL",
        "1234567 12 3a4 ½¾ !!\n//\r\n/x ...a",
    ],
)
def test_what_settles_in_any_part_of_a_text_stays_in_the_whole(pattern: str, text: str) -> None:
    compiled = compile_pattern(pattern)
    whole = compiled.findall(text)
    for end in range(len(text)):
        pretokens, _ = settled_pretokens(compiled, text[:end])
        assert pretokens == whole[: len(pretokens)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pretokens_settle_soon_in_plain_text(pattern: str, corpus: str) -> None:
    _, end = settled_pretokens(compile_pattern(pattern), corpus[:2003])
    assert end > 1900


def test_a_special_token_cut_by_a_chunk_border_is_found(tokenizer: Tokenizer) -> None:
    special = "<|endoftext|>"
    for cut in range(1, len(special)):
        chunks = ["a" + special[:cut], special[cut:] + "b"]
        assert list(tokenizer.encode_iterable(chunks)) == tokenizer.encode(f"a{special}b")


@given(data=st.data())
def test_stream_is_cut_at_specials_as_the_whole_text(data: st.DataObject) -> None:
    text = data.draw(texts(_TANGLED, max_fragments=11))
    found: list[tuple[str, bool]] = []
    for piece, is_special in split_stream(data.draw(chunkings(text)), _TANGLED):
        assert piece
        if found and not is_special and not found[-1][1]:
            piece = found.pop()[0] + piece
        found.append((piece, is_special))
    assert found == list(split_on_specials(text, _TANGLED))


def test_ids_come_before_the_stream_ends(tokenizer: Tokenizer) -> None:
    taken = itertools.count()

    def endless() -> Iterator[str]:
        for _ in taken:
            yield "the old man "

    ids = tokenizer.encode_iterable(endless())
    expected = tokenizer.encode("the old man " * 20)[:50]
    assert list(itertools.islice(ids, 50)) == expected
    assert next(taken) < 40


def test_a_special_token_comes_before_the_next_string_is_read(tokenizer: Tokenizer) -> None:
    read: list[str] = []

    def strings() -> Iterator[str]:
        for string in ["a<|pad|>", "b"]:
            read.append(string)
            yield string

    ids = tokenizer.encode_iterable(strings())
    assert list(itertools.islice(ids, 2)) == tokenizer.encode("a<|pad|>")
    assert read == ["a<|pad|>"]


def test_a_long_word_in_single_characters_takes_linear_time() -> None:
    pattern = compile_pattern("gpt2")
    start = time.process_time()
    found = list(cut_stream((("e", False) for _ in range(30_011)), pattern))
    assert time.process_time() - start < 3
    assert found == [(["e" * 30_011], None)]


_STREAM_MEGABYTES = """
import json, resource, sys
from bpe.tokenizer import Tokenizer
tokenizer = Tokenizer.load(sys.argv[1])
line = sys.argv[2]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def strings(megabytes):
    for _ in range(megabytes * 1_000_000 // len(line.encode())):
        yield line
def count(megabytes):
    return sum(1 for _ in tokenizer.encode_iterable(strings(megabytes)))
count(1)
before = peak()
print(json.dumps([count(3), peak() - before]))
"""


@pytest.mark.parametrize("line", ['{"the":1,"old":[22,333]},', "the old man 東京 ", "x\n"])
def test_a_stream_takes_constant_memory(saved: Path, line: str) -> None:
    command = [sys.executable, "-c", _STREAM_MEGABYTES, str(saved), line]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    num_ids, megabytes = json.loads(output)
    assert num_ids > 500_000
    assert megabytes < 2


@given(data=st.data())
def test_gathered_strings_join_to_the_same_text_and_are_not_held_long(data: st.DataObject) -> None:
    chunks = data.draw(st.lists(st.text(max_size=7), max_size=97))
    read = passed = 0

    def strings() -> Iterator[str]:
        nonlocal read
        for chunk in chunks:
            read += len(chunk)
            yield chunk

    joined = ""
    for piece in gathered(strings()):
        assert read - passed - len(piece) == 0
        assert read - passed <= passed / 16 + 7
        passed += len(piece)
        joined += piece
    assert joined == "".join(chunks)


def test_a_large_string_is_read_in_windows(tokenizer: Tokenizer) -> None:
    pieces = list(well_formed(["a" * (3 * WINDOW + 7)]))
    assert [len(piece) for piece in pieces] == [WINDOW, WINDOW, WINDOW, 7]


def test_a_lone_surrogate_is_named_with_its_index_in_the_whole_stream(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"U\+DC00 at index 7$"):
        list(tokenizer.encode_iterable(["abc", "def", "g\udc00"]))


def test_a_surrogate_pair_cut_in_two_is_one_character_when_replaced(tokenizer: Tokenizer) -> None:
    found = list(tokenizer.encode_iterable(["a\ud83d", "", "\ude00b"], errors="replace"))
    assert found == tokenizer.encode("a😀b")


def test_a_surrogate_that_ends_the_stream_is_replaced(tokenizer: Tokenizer) -> None:
    found = list(tokenizer.encode_iterable(["a", "\ud83d"], errors="replace"))
    assert found == tokenizer.encode("a\ufffd")


def test_bad_arguments_are_refused_before_the_stream_is_read(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="errors"):
        tokenizer.encode_iterable([], errors="ignore")
    with pytest.raises(ValueError, match="allowed_special"):
        tokenizer.encode_iterable([], allowed_special="some")


def test_bytes_in_a_stream_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TypeError, match="text is a bytes, not a str"):
        list(tokenizer.encode_iterable([b"abc"]))  # type: ignore[list-item]


# Ids to text


@given(ids=st.lists(st.integers(0, 768), max_size=41))
def test_streamed_text_joins_to_the_decoded_text(tokenizer: Tokenizer, ids: list[int]) -> None:
    pieces = list(tokenizer.decode_stream(ids))
    assert "".join(pieces) == tokenizer.decode(ids)
    assert all(pieces)


@given(text=texts())
def test_streamed_text_never_shows_half_a_character(trained: Trained, text: str) -> None:
    bytes_only = Tokenizer(trained[0], [], SPECIALS)
    ids = bytes_only.encode(text, allowed_special="none")
    assert list(bytes_only.decode_stream(ids)) == list(text)


def test_text_comes_before_the_ids_end(tokenizer: Tokenizer) -> None:
    stream = tokenizer.decode_stream(itertools.cycle(tokenizer.encode("the")))
    assert list(itertools.islice(stream, 3)) == ["the", "the", "the"]


def test_an_unknown_id_in_a_stream_is_named_with_its_position(tokenizer: Tokenizer) -> None:
    stream = tokenizer.decode_stream([300, 301, 99999])
    assert next(stream)
    with pytest.raises(ValueError, match=r"token id 99999 at position 2 is outside 0\.\.768"):
        list(stream)
