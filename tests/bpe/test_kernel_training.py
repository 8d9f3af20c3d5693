"""The kernels count and merge exactly as the reference does, however the work is split."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpe import PATTERNS, TrainingProgress, train_bpe
from bpe.counting import count_pretokens
from bpe.engines import Engine
from bpe.kernels import counting, merging
from bpe.kernels.pattern_numbers import GPT2
from bpe.kernels.pretoken_table import PretokenTable
from bpe.merging import TieBreak, learn_merges

_SPECIALS = ["<|endoftext|>", "<|end", "|>", "\u00e9\u0301", " a b", "aa", "aaa"]
_words = st.sampled_from(
    [
        *_SPECIALS,
        *["the", " the", "th", "The", " THE's", "'ll", "don't", "aaaa", "a", "ab" * 5, " "],
        *["\n", "\r\n\r\n", "\t\t x", "  ", "1", "12345", "\u4e2d\u6587", "\u00a0", "\u3000"],
        *["\U0001f600", "\u0301", "x" * 17, "=" * 23, "/*-/\n//", "\x00", "\u017f", "q" * 131],
    ]
)
_texts = st.lists(st.one_of(_words, st.text(max_size=5)), max_size=61).map("".join)
# Many pretokens repeat, many pairs are equally frequent.
_counts = st.dictionaries(
    st.text(st.sampled_from("aabc\u00e9 "), min_size=1, max_size=13),
    st.integers(1, 5),
    max_size=37,
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write_text(text: str | bytes) -> Path:
        path = tmp_path / "corpus.txt"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_text


def _learn(counts: dict[str, int], num_merges: int, tie_break: TieBreak) -> list[object]:
    table = PretokenTable(GPT2, [])
    table.add_counts({pretoken.encode(): n for pretoken, n in counts.items()})
    return [*merging.learn_merges(table, num_merges, tie_break=tie_break)]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_counts_are_those_of_the_reference_at_any_chunk_size(
    pattern: str, workers: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("counts")

    @given(text=_texts, specials=st.permutations(_SPECIALS), chunk_bytes=st.integers(1, 97))
    def check(text: str, specials: list[str], chunk_bytes: int) -> None:
        path = folder / "corpus.txt"
        path.write_bytes(text.encode())
        expected = count_pretokens([path], specials[:3], pattern=pattern, workers=1)
        found = counting.count_pretokens(
            [path], specials[:3], pattern=pattern, workers=workers, chunk_bytes=chunk_bytes
        )
        assert {p.decode(): n for p, n in found.counts.items()} == expected.counts
        assert found.num_bytes == expected.num_bytes

    check()


@pytest.mark.parametrize("tie_break", ["bytes", "huggingface"])
@given(counts=_counts, num_merges=st.integers(1, 61))
def test_merges_are_those_of_the_reference(
    tie_break: TieBreak, counts: dict[str, int], num_merges: int
) -> None:
    expected = learn_merges(counts, num_merges, tie_break=tie_break)
    assert _learn(counts, num_merges, tie_break) == expected


@pytest.mark.parametrize("tie_break", ["bytes", "huggingface"])
def test_merges_of_a_large_table_are_those_of_the_reference(tie_break: TieBreak) -> None:
    # Enough merges that the pairs which are followed run out, and so does the room for places.
    generator = random.Random(7)
    syllables = ["ta", "ro", "ki", "aa", "aaa", "s", "t", "\u00e9", "\u4e2d", "ing", "x" * 9]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 11))) for _ in range(4001)]
    counts = {word: 1 + 10**7 // (rank + 1) ** 2 for rank, word in enumerate(dict.fromkeys(words))}
    expected = learn_merges(counts, 3001, tie_break=tie_break)
    assert _learn(counts, 3001, tie_break) == expected


def test_long_words_of_one_letter_merge_as_in_the_reference() -> None:
    counts = {"a" * length: 1 for length in (1, 2, 3, 31, 1009, 65537)} | {"ba" * 4099 + "b": 3}
    assert _learn(counts, 211, "bytes") == learn_merges(counts, 211)


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        " ",
        "\n",
        "0",
        "\U0001f600",
        "ab",
        "a ",
        "'s",
        "\u4e2d",
        "\u4e2dA",
        "A",
        "!",
        "!\n",
        "e\u0301",
    ],
)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_megabyte_of_anything_trains_in_a_second(
    unit: str, pattern: str, write: Callable[[str], Path]
) -> None:
    path = write(unit * ((1 << 20) // len(unit.encode())))
    start = time.process_time()
    train_bpe(path, 307, [], pattern=pattern, engine="kernels")
    assert time.process_time() - start < 1


def test_counts_beyond_32_bits_do_not_wrap() -> None:
    counts = {"ab": 2**40, "ac": 2**40 - 1, "bc": 2**33}
    assert _learn(counts, 3, "bytes") == [(b"a", b"b"), (b"a", b"c"), (b"b", b"c")]


@pytest.mark.parametrize("pattern", [*PATTERNS, r"\w+|\W"])
def test_engines_train_the_same_vocabulary(pattern: str, write: Callable[[str], Path]) -> None:
    generator = random.Random(11)
    words = ["the", " The", " cat", "'s", "\n\n", " 12345", " na\u00efve", "!?\n", "<|endoftext|>"]
    path = write("".join(generator.choices(words, k=20011)))
    specials = ["<|endoftext|>"]
    expected = train_bpe(path, 307, specials, pattern=pattern, engine="reference")
    assert train_bpe(path, 307, specials, pattern=pattern, engine="kernels") == expected


def test_kernels_stop_early_when_no_pair_is_left(write: Callable[[str], Path]) -> None:
    vocab, merges = train_bpe(write("ab ab c"), 300, [], engine="kernels")
    assert merges == [(b"a", b"b"), (b" ", b"c"), (b" ", b"ab")]
    assert len(vocab) == 256 + 3


def test_kernels_train_a_vocabulary_without_merges(write: Callable[[str], Path]) -> None:
    vocab, merges = train_bpe(write("ab ab c"), 257, ["<|endoftext|>"], engine="kernels")
    assert (len(vocab), merges) == (257, [])


def test_kernels_report_every_chunk_and_merge(write: Callable[[str], Path]) -> None:
    path = write("to be or not to be " * 1009)

    def steps_of(engine: Engine) -> list[TrainingProgress]:
        steps: list[TrainingProgress] = []
        train_bpe(path, 263, [], engine=engine, workers=1, chunk_bytes=4096, progress=steps.append)
        return steps

    expected, found = steps_of("reference"), steps_of("kernels")
    assert [s for s in found if s.phase == "merge"] == [s for s in expected if s.phase == "merge"]
    counted = [s.done for s in found if s.phase == "count"]
    assert counted == sorted(counted)
    assert len(counted) >= 5
    assert counted[-1] == path.stat().st_size


@pytest.mark.parametrize("engine", ["reference", "kernels"])
def test_a_byte_that_is_not_utf8_is_named_with_offset_and_line(
    engine: Engine, write: Callable[[bytes], Path]
) -> None:
    good = ("na\u00efve text \u4e2d\n" * 1013).encode()
    path = write(good * 3 + b"bad \xc3( here" + good + b"\xff")
    with pytest.raises(ValueError, match=rf"0xc3 at offset {3 * len(good) + 4:,} \(line 3,040\)"):
        train_bpe(path, 300, [], engine=engine, chunk_bytes=1009)


def test_replaced_bytes_are_counted_as_by_the_reference(write: Callable[[bytes], Path]) -> None:
    path = write(b"ab \xff\xfe cd \xe4\xb8 \xef\xbf\xbd " * 503)
    expected = count_pretokens([path], errors="replace", workers=1)
    found = counting.count_pretokens([path], errors="replace", chunk_bytes=101)
    assert {p.decode(): n for p, n in found.counts.items()} == expected.counts
    assert found.num_replacements == expected.num_replacements


def test_a_missing_file_is_named_by_the_kernels(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        counting.count_pretokens([tmp_path / "absent.txt"], workers=2)


def test_no_pretoken_spans_two_files(tmp_path: Path) -> None:
    paths = []
    for index, text in enumerate(["on", "e tw", "", "o"]):
        paths.append(tmp_path / f"{index}.txt")
        paths[-1].write_text(text)
    found = counting.count_pretokens(paths, workers=2)
    assert dict(found.counts.items()) == {b"on": 1, b"e": 1, b" tw": 1, b"o": 1}


def test_tables_add_up() -> None:
    generator = random.Random(13)
    total: Counter[str] = Counter()
    tables = []
    for _ in range(3):
        words = (
            "w" * generator.randint(1, 37) + str(generator.randint(0, 97)) for _ in range(9973)
        )
        counts = Counter(words)
        total += counts
        tables.append(PretokenTable(GPT2, []))
        tables[-1].add_counts({pretoken.encode(): n for pretoken, n in counts.items()})
    tables[0].add(tables[1])
    tables[0].add(tables[2])
    assert {p.decode(): n for p, n in tables[0].items()} == total


def test_a_table_that_is_nearly_full_loses_nothing() -> None:
    # So full that entries go over its end to the start, in some of these.
    for first in range(0, 7 * 12_281, 12_281):
        table = PretokenTable(GPT2, [])
        counts = {b"%d" % number: number + 1 for number in range(first, first + 12_281)}
        table.add_counts(counts)
        assert dict(table.items()) == counts


@pytest.mark.parametrize("first_threshold", [1, 101, 10**9])
def test_merges_do_not_depend_on_which_pairs_are_followed(first_threshold: int) -> None:
    # A few frequent words, and very many rare pairs, some of which fall on the same words of the
    # filter as the frequent ones.
    generator = random.Random(17)
    letters = [chr(code) for code in range(0xA1, 0xA1 + 397)]
    words = ["".join(generator.choices(letters, k=3)) for _ in range(20_011)]
    counts = {word: 1 + 10**6 // (rank + 1) for rank, word in enumerate(words)}
    expected = learn_merges(counts, 1009)
    table = PretokenTable(GPT2, [])
    table.add_counts({word.encode(): count for word, count in counts.items()})
    merger = merging.Merger(table, 1009, None, first_threshold)
    assert merger.merge(1009)
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merger.merges(0):
        tokens.append(tokens[left] + tokens[right])
    assert tokens[256:] == [left + right for left, right in expected]
