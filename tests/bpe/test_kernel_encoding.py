"""The kernels encode exactly as the reference does, however the text is cut and the work split."""

import random

import numpy as np
import pytest
from bpe_reference import SPECIALS, chunkings, random_text, texts, tiktoken_of
from hypothesis import given
from hypothesis import strategies as st

from bpe import PATTERNS
from bpe.kernels import hashing
from bpe.kernels.encoding import KernelEncoder
from bpe.reference_encoder import ReferenceEncoder
from bpe.text_file import TextFile
from bpe.tokenizer import Tokenizer
from bpe.vocabulary import check_vocabulary

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]

Merges = list[tuple[bytes, bytes]]

_SEVERAL = [*SPECIALS, "<|end", "|>", "\u00e9\u0301", " the", "'s"]


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
