"""The kernels encode exactly as the reference does, however the text is cut and the work split."""

import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from bpe_reference import SPECIALS, chunkings, random_text, texts, tiktoken_of
from hypothesis import given
from hypothesis import strategies as st

from bpe import PATTERNS
from bpe.engines import Engine
from bpe.kernels import hashing
from bpe.kernels.encoding import KernelEncoder
from bpe.reference_encoder import ReferenceEncoder
from bpe.text_encoder import LOAD_FROM
from bpe.text_file import TextFile
from bpe.tokenizer import Tokenizer
from bpe.vocabulary import check_vocabulary

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]
Merges = list[tuple[bytes, bytes]]

_SEVERAL = [*SPECIALS, "<|end", "|>", "\u00e9\u0301", " the", "'s"]


@pytest.fixture(scope="module")
def kernels(trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS, engine="kernels")


@pytest.fixture(scope="module")
def reference(trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS, engine="reference")


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_ids_are_those_of_the_reference_at_any_chunk_size(
    trained: Trained, pattern: str, workers: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vocabulary = check_vocabulary(*trained, _SEVERAL, pattern=pattern)
    expected_of = ReferenceEncoder(vocabulary).encode
    encoders = {size: KernelEncoder(vocabulary, chunk_bytes=size) for size in (1, 7, 61)}
    path = tmp_path_factory.mktemp("text") / "text.txt"

    @given(
        text=texts([*_SEVERAL, "a" * 17, "x" * 67, "=" * 131]),
        specials=st.lists(st.sampled_from(_SEVERAL), unique=True),
        chunk_bytes=st.sampled_from([*encoders]),
    )
    def check(text: str, specials: list[str], chunk_bytes: int) -> None:
        encoder = encoders[chunk_bytes]
        expected = expected_of(text, specials, "strict")
        assert encoder.encode(text, specials, "strict") == expected
        assert encoder.encode_array(text, specials, "strict", workers).tolist() == expected
        path.write_bytes(text.encode())
        batches = encoder.encode_file(TextFile(path), specials, workers)
        assert [i for batch in batches for i in batch.tolist()] == expected

    check()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("count", [5000, pytest.param(50_000, marks=pytest.mark.long)])
def test_thousands_of_texts_have_tiktokens_ids(trained: Trained, pattern: str, count: int) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, pattern=pattern, engine="kernels")
    theirs = tiktoken_of(tokenizer)
    source = random.Random(count)
    for _ in range(count // len(PATTERNS)):
        text = random_text(source, SPECIALS)
        expected = theirs.encode(text, allowed_special="all")
        assert tokenizer.encode(text) == tokenizer.encode_array(text).tolist() == expected


@given(data=st.data())
def test_streams_are_those_of_the_reference(kernels: Tokenizer, data: st.DataObject) -> None:
    # Words of several letters that make one token: a cut inside is seen in the ids.
    text = data.draw(texts([*SPECIALS, " another", " through", " people"], max_fragments=11))
    strings = data.draw(chunkings(text))
    assert list(kernels.encode_iterable(strings)) == kernels.encode(text)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_batches_are_those_of_the_reference_at_any_group_size(
    trained: Trained, workers: int
) -> None:
    vocabulary = check_vocabulary(*trained, _SEVERAL)
    expected_of = ReferenceEncoder(vocabulary).encode
    encoders = {size: KernelEncoder(vocabulary, chunk_bytes=size) for size in (4, 13, 997)}

    @given(
        batch=st.lists(texts([*_SEVERAL, "x" * 67], max_fragments=5), max_size=23),
        specials=st.lists(st.sampled_from(_SEVERAL), unique=True),
        chunk_bytes=st.sampled_from([*encoders]),
    )
    def check(batch: list[str], specials: list[str], chunk_bytes: int) -> None:
        found = encoders[chunk_bytes].encode_batch(batch, specials, "strict", workers)
        assert found == [expected_of(text, specials, "strict") for text in batch]

    check()


def test_much_text_in_a_batch_calls_for_the_kernels(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS)
    lines = corpus.splitlines(keepends=True) * (1 + LOAD_FROM // len(corpus))
    found = tokenizer.encode_batch(lines, workers=2)
    assert tokenizer._encoder.kernels is not None
    assert found == [*map(tokenizer.encode, lines)]


@st.composite
def _merge_lists(draw: st.DrawFn) -> Merges:
    """Draw merges of three letters, half the time in an order in which none was learned."""
    tokens = [b"a", b"b", b"c"]
    merges: Merges = []
    for _ in range(draw(st.integers(0, 11))):
        pair = (draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens)))
        if pair not in merges:
            merges.append(pair)
            if pair[0] + pair[1] not in tokens:
                tokens.append(pair[0] + pair[1])
    return draw(st.permutations(merges) | st.just(merges))


def _shuffled(merges: Merges, *, ignore_merges: bool = False) -> list[Tokenizer]:
    """Return tokenizers of both engines whose ids stand in no order."""
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += sorted({left + right for left, right in merges})
    random.Random(5).shuffle(tokens)
    vocab = dict(enumerate(tokens))
    return [
        Tokenizer(vocab, merges, ignore_merges=ignore_merges, engine="kernels"),
        Tokenizer(vocab, merges, ignore_merges=ignore_merges, engine="reference"),
    ]


@given(_merge_lists(), st.lists(st.text("abc", max_size=151), max_size=5).map(" ".join))
def test_any_list_of_merges_is_applied_as_by_the_reference(merges: Merges, text: str) -> None:
    kernels, reference = _shuffled(merges)
    assert kernels.encode(text) == reference.encode(text)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 63, 64, 65, 66, 255, 256, 257, 65_537])
def test_a_run_of_one_letter_merges_as_in_the_reference(length: int) -> None:
    merges = [(b"a", b"a"), (b"aa", b"a"), (b"aa", b"aa"), (b"aaaa", b"aaaa")]
    kernels, reference = _shuffled(merges)
    text = f"{'a' * length} {'a' * length}"
    assert kernels.encode(text) == kernels.encode(text) == reference.encode(text)


@pytest.mark.parametrize("ignore_merges", [False, True])
def test_a_token_that_merges_do_not_reach_is_an_answer_only_if_merges_are_ignored(
    ignore_merges: bool,
) -> None:
    # The first merge makes the second and the third impossible.
    long = b"bcd" * 11
    merges = [(b"a", b"b"), (b"b", b"c"), (b"a", b"bc"), (b"b", b"cd" + b"bcd" * 10)]
    made = [b"cd", *(b"cd" + b"bcd" * n for n in range(1, 11))]
    merges += [(b"c", b"d"), *((token, b"bcd") for token in made[:-1]), (b"bc", b"d")]
    kernels, reference = _shuffled(merges, ignore_merges=ignore_merges)
    for text in ["abc", "abcd", "abc abc", long.decode(), f"{long.decode()} abc"]:
        assert kernels.encode(text) == reference.encode(text)
    assert len(kernels.encode("abc")) == (1 if ignore_merges else 2)


def test_long_pretokens_of_one_hash_are_told_apart() -> None:
    def folded(word: int) -> int:
        product = word * hashing._FACTOR
        return (product ^ product >> 64) & (1 << 64) - 1

    # The hash goes on with the folded first word, so that the second can make up for the first.
    text = b"abcdefghijklmnopqrstuvwx"
    words = [int.from_bytes(text[i : i + 8], "little") for i in (0, 8, 16)]
    first = words[0] ^ 1
    second = words[1] ^ folded(len(text) ^ words[0]) ^ folded(len(text) ^ first)
    twin = b"".join(word.to_bytes(8, "little") for word in (first, second, words[2]))
    vocab = {i: bytes([i]) for i in range(256)} | {256: twin}
    tokenizer = Tokenizer(vocab, [], ignore_merges=True, engine="kernels")
    assert tokenizer.encode(text.decode()) == list(text)


def test_large_ids_take_four_bytes(trained: Trained) -> None:
    vocab = trained[0] | {i: b"token %d" % i for i in range(len(trained[0]), 70_001)}
    kernels = Tokenizer(vocab, trained[1], {"<|last|>": 70_001, "<|zero|>": 70_002})
    text = "the <|last|>old man 東京<|zero|>" * 3
    found = Tokenizer(vocab, trained[1], kernels.special_tokens, engine="kernels")
    assert found.encode(text) == kernels.encode(text)
    assert found.encode_array(text).dtype == np.uint32
    assert found.encode_array(text).tolist() == kernels.encode(text)


def test_a_cache_that_overflows_starts_again(trained: Trained) -> None:
    # More pretokens than there are slots, and long ones that take more room than there is.
    vocab = {i: bytes([i]) for i in range(256)}
    words = [str(number) for number in range(270_001)]
    letters = str.maketrans("0123456789", "abcdefghij")
    words += [str(number).translate(letters) + "word" * 61 for number in range(16_001)]
    random.Random(3).shuffle(words)
    text = " ".join(words)
    kernels = Tokenizer(vocab, [], engine="kernels")
    found = kernels.encode_array(text, workers=1)
    assert found.astype(np.uint8).tobytes() == text.encode()


def test_a_cache_that_overflows_in_a_batch_starts_again() -> None:
    # So does a pretoken that is too long to be merged in the memory at hand.
    words = [str(number) for number in range(270_001)] + ["word" * 5003] * 31
    random.Random(5).shuffle(words)
    batch = [" ".join(words[start : start + 307]) for start in range(0, len(words), 307)]
    kernels = Tokenizer({i: bytes([i]) for i in range(256)}, [], engine="kernels")
    found = kernels.encode_batch(batch, workers=1)
    assert [bytes(ids).decode() for ids in found] == batch


# Bad text


@pytest.mark.parametrize("engine", ["reference", "kernels"])
def test_a_lone_surrogate_is_named_with_its_index(trained: Trained, engine: Engine) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, engine=engine)
    for prefix in ["ab", "é" * 70_001]:
        with pytest.raises(ValueError, match=rf"U\+D800 at index {len(prefix)}$"):
            tokenizer.encode(prefix + "\ud800 cd")
        with pytest.raises(ValueError, match=rf"U\+D800 at index {len(prefix)}$"):
            tokenizer.encode_array(prefix + "\ud800 cd")
        replaced = tokenizer.encode(prefix + "\ud800 cd", errors="replace")
        assert replaced == tokenizer.encode(prefix + "\ufffd cd")


@pytest.mark.parametrize("engine", ["reference", "kernels"])
def test_the_text_of_a_batch_that_is_wrong_is_named(trained: Trained, engine: Engine) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, engine=engine)
    batch = ["one", "two", "thr\udc80ee"]
    with pytest.raises(ValueError, match=r"^text 2 of the batch: .* U\+DC80 at index 3$"):
        tokenizer.encode_batch(batch)
    assert tokenizer.encode_batch(batch, errors="replace")[2] == tokenizer.encode("thr\ufffdee")
    with pytest.raises(TypeError, match="text 1 of the batch is a bytes, not a str"):
        tokenizer.encode_batch(["one", b"two"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="errors"):
        tokenizer.encode_batch(batch, errors="ignore")


def test_bad_arguments_are_refused(kernels: Tokenizer) -> None:
    with pytest.raises(ValueError, match="errors"):
        kernels.encode("a", errors="ignore")
    with pytest.raises(ValueError, match="errors"):
        kernels.encode_array("a", errors="ignore")
    with pytest.raises(ValueError, match="allowed_special"):
        kernels.encode("a", allowed_special=["<|absent|>"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_byte_that_is_not_utf8_is_named_as_by_the_reference(
    kernels: Tokenizer, reference: Tokenizer, tmp_path: Path, workers: int
) -> None:
    good = ("na\u00efve text \u4e2d\n" * 40_009).encode()
    path = tmp_path / "bad.txt"
    path.write_bytes(good + b"bad \xc3( here" + good)
    with pytest.raises(ValueError, match=r"0xc3 at offset .* \(line 40,010\)") as expected:
        reference.encode_file(path, tmp_path / "a")
    with pytest.raises(ValueError, match="0xc3") as found:
        kernels.encode_file(path, tmp_path / "a", workers=workers)
    assert str(found.value) == str(expected.value)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.txt"]


@pytest.mark.parametrize(
    "data", [b"", b"a", b"\xff", "é".encode()[:1], b"ab \xff\xfe c \xe4" * 101]
)
def test_replaced_bytes_are_encoded_and_counted_as_by_the_reference(
    kernels: Tokenizer, reference: Tokenizer, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    expected = reference.encode_file(path, tmp_path / "a", errors="replace")
    found = kernels.encode_file(path, tmp_path / "b", errors="replace")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert found.num_replacements == expected.num_replacements
    assert found.num_bytes == expected.num_bytes == len(data)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_file_of_many_chunks_is_encoded_in_order(
    kernels: Tokenizer, corpus: str, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "text.txt"
    text = corpus * 67 + "<|endoftext|>"
    path.write_bytes(text.encode())
    steps: list[tuple[int, int]] = []
    found = kernels.encode_file(
        path, tmp_path / "a", workers=workers, progress=lambda *step: steps.append(step)
    )
    assert np.load(tmp_path / "a.npy").tolist() == kernels.encode(text)
    size = path.stat().st_size
    assert found.num_bytes == size
    assert steps == sorted(steps)
    assert len(steps) >= 3
    assert steps[-1] == (size, size)


def test_a_missing_file_is_named(kernels: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        kernels.encode_file(tmp_path / "absent.txt", tmp_path / "a")


# No input is slow

_MEGABYTE = 1_000_003
_HARD: dict[str, str] = {
    "letter": "a" * _MEGABYTE,
    "capital": "Q" * _MEGABYTE,
    "spaces": " " * _MEGABYTE,
    "newlines": "\n" * _MEGABYTE,
    "crlf": "\r\n" * (_MEGABYTE // 2),
    "tabs": "\t" * _MEGABYTE,
    "emoji": "\U0001f600" * (_MEGABYTE // 4),
    "digits": "7" * _MEGABYTE,
    "pairs": "ab" * (_MEGABYTE // 2),
    "word": "".join(random.Random(2).choices("etaoinshr", k=_MEGABYTE)),
    "marks": "e" + "\u0301" * (_MEGABYTE // 2),
    "punctuation": "=" * _MEGABYTE,
    "nul": "\x00" * _MEGABYTE,
    "half special": "<|endoftext" * (_MEGABYTE // 11),
    "specials": "<|endoftext|>" * (_MEGABYTE // 13),
    "apostrophes": "'" * _MEGABYTE,
}


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k"])
def test_no_input_is_slow(trained: Trained, pattern: str) -> None:
    # Runs of one letter merge into ever longer tokens.
    merges = trained[1] + [(b"a" * 2**n, b"a" * 2**n) for n in range(1, 7)]
    merges = [*dict.fromkeys([(b"a", b"a"), *merges])]
    vocab = dict(enumerate(dict.fromkeys([*trained[0].values(), *(a + b for a, b in merges)])))
    tokenizer = Tokenizer(vocab, merges, SPECIALS, pattern=pattern, engine="kernels")
    for name, text in _HARD.items():
        start = time.process_time()
        ids = tokenizer.encode_array(text)
        seconds = time.process_time() - start
        assert tokenizer.decode_bytes(ids) == text.encode(), name
        assert seconds < 5, name


_ON_ONE_LINE = """
import json, random, resource, sys
from pathlib import Path
from bpe import Tokenizer, train_bpe
from bpe.kernels import library
source = random.Random(11)
words = ["".join(source.choices("etaoinshrdlu", k=source.randint(1, 9))) for _ in range(9973)]
block = " ".join(words).encode()
path, size = Path(sys.argv[1]), int(sys.argv[2])
with path.open("wb") as file:
    while file.tell() < size:
        file.write(block)
library.load("training"), library.load("tokenizer"), library.class_table()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
vocab, merges = train_bpe(path, 509, [], engine="kernels", workers=2)
trained = peak()
tokenizer = Tokenizer(vocab, merges, engine="kernels")
encoded = tokenizer.encode_file(path, path.with_suffix(".npy"), workers=2)
print(json.dumps([trained - before, peak() - before, encoded.num_bytes, path.stat().st_size]))
"""


@pytest.mark.parametrize(
    "size", [96 << 20, pytest.param(2 << 30, marks=pytest.mark.long)], ids=["96 MB", "2 GB"]
)
def test_a_file_of_one_line_takes_bounded_memory(size: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ON_ONE_LINE, str(tmp_path / "line.txt"), str(size)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for path in tmp_path.iterdir():
        path.unlink()
    training, encoding, num_bytes, file_size = json.loads(output)
    assert num_bytes == file_size >= size
    assert training < 64
    assert encoding < 96


# Which engine, and where it runs


def test_a_sentence_loads_no_compiler(saved: Path) -> None:
    command = (
        "import sys; from bpe import Tokenizer; Tokenizer.load(sys.argv[1]).encode('one two');"
        "print(*sys.modules)"
    )
    run = [sys.executable, "-c", command, str(saved)]
    modules = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    assert "bpe" in modules
    assert not {"numpy", "numba", "llvmlite"} & set(modules)


def test_kernels_take_over_when_much_text_has_come(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS)
    # Compiled in any case, for other tests: what is not compiled is waited for longer.
    Tokenizer(*trained, SPECIALS, engine="kernels")
    text = corpus[:4001]
    expected = tokenizer.encode(text)
    assert tokenizer._encoder.kernels is None
    for _ in range(LOAD_FROM // len(text) + 1):
        assert tokenizer.encode(text) == expected
    assert tokenizer._encoder.kernels is not None


def test_a_stream_loads_no_kernels(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS)
    times = 1 + LOAD_FROM // len(corpus)
    assert sum(1 for _ in tokenizer.encode_iterable([corpus] * times)) > times
    assert tokenizer._encoder.kernels is None


def test_an_engine_that_cannot_be_used_is_refused(trained: Trained) -> None:
    with pytest.raises(ValueError, match="'fast' is not one of 'auto', 'reference', 'kernels'"):
        Tokenizer(*trained, engine="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="patterns gpt2, cl100k, llama3, o200k"):
        Tokenizer(*trained, pattern=r"\w+|\W", engine="kernels")


def test_other_patterns_are_left_to_the_reference(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, pattern=r"\w+|\W")
    text = corpus * (1 + LOAD_FROM // len(corpus))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer._encoder.kernels is None


def test_a_pickled_tokenizer_is_of_the_same_engine(kernels: Tokenizer, corpus: str) -> None:
    kernels.encode(corpus)
    data = pickle.dumps(kernels)
    assert len(data) < 100_000
    restored: Tokenizer = pickle.loads(data)
    assert restored._encoder.kernels is not None
    assert restored.encode(corpus) == kernels.encode(corpus)


def test_threads_may_share_a_tokenizer(kernels: Tokenizer, corpus: str) -> None:
    parts = [corpus[start : start + 997] for start in range(0, 60_000, 997)]
    expected = [kernels.encode(part) for part in parts]
    with ThreadPoolExecutor(4) as executor:
        for found in executor.map(lambda _: [*map(kernels.encode, parts)], range(8)):
            assert found == expected


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_tokenizer_survives(method: str, kernels: Tokenizer, corpus: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        return
    expected = kernels.encode(corpus)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(kernels.encode, corpus).result() == expected


def test_a_forked_child_encodes_with_the_tables_of_its_parent(
    kernels: Tokenizer, corpus: str
) -> None:
    expected = kernels.encode(corpus)
    child = os.fork()
    if not child:
        os._exit(0 if kernels.encode(corpus) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
