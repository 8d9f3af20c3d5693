"""The tokenizer against tiktoken and tokenizers on the same vocabulary, and its own promises."""

import multiprocessing
import pickle
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from bpe_reference import (
    SPECIALS,
    naive_merge,
    texts,
)
from hypothesis import given
from hypothesis import strategies as st

from bpe.patterns import PATTERNS
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


def test_text_that_a_pattern_does_not_match_is_not_lost(trained: Trained) -> None:
    words_only = Tokenizer(*trained, pattern=r"\w+")
    assert words_only.decode(words_only.encode("a, b; (c) the")) == "a, b; (c) the"


def test_a_pattern_with_groups_cuts_at_its_matches(trained: Trained) -> None:
    plain = Tokenizer(*trained, pattern=r"[a-z]+|[^a-z]+")
    grouped = Tokenizer(*trained, pattern=r"([a-z])+|([^a-z])+")
    assert grouped.encode("the the 12 of") == plain.encode("the the 12 of")


# Special tokens
def test_the_longest_special_token_wins(tokenizer: Tokenizer) -> None:
    one, two = (tokenizer.special_tokens[special] for special in SPECIALS[:2])
    assert tokenizer.encode("<|endoftext|>" * 3) == [two, one]


def test_special_tokens_are_ordinary_text_unless_allowed(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a<|endoftext|>b<|pad|>", allowed_special="none")
    assert not set(ids) & set(tokenizer.special_tokens.values())
    assert tokenizer.decode(ids) == "a<|endoftext|>b<|pad|>"


def test_only_the_allowed_special_tokens_are_found(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<|pad|><|endoftext|>", allowed_special={"<|pad|>"})
    assert set(ids) & set(tokenizer.special_tokens.values()) == {
        tokenizer.special_tokens["<|pad|>"]
    }


@pytest.mark.parametrize("allowed", ["some", ["<|nope|>"], {"all"}])
def test_unknown_allowed_special_tokens_are_refused(
    tokenizer: Tokenizer, allowed: str | list[str]
) -> None:
    with pytest.raises(ValueError, match="allowed_special"):
        tokenizer.encode("a", allowed_special=allowed)


def test_special_tokens_that_the_vocabulary_lacks_are_appended(trained: Trained) -> None:
    tokenizer = Tokenizer(*trained, [*SPECIALS, "<|new|>", "<|newer|>"])
    assert tokenizer.encode("<|newer|><|new|><|pad|>") == [770, 769, 2]
    assert tokenizer.vocab_size == 771
    assert tokenizer.vocab[770] == b"<|newer|>"


def test_the_callers_vocabulary_is_not_changed(trained: Trained) -> None:
    vocab = dict(trained[0])
    Tokenizer(vocab, trained[1], ["<|new|>"])
    assert vocab == trained[0]


def test_a_special_token_may_be_an_ordinary_token_too(trained: Trained) -> None:
    the = next(i for i, token in trained[0].items() if token == b"the")
    tokenizer = Tokenizer(*trained, [*SPECIALS, "the"])
    assert tokenizer.special_tokens["the"] == the
    assert tokenizer.encode("the") == tokenizer.encode("the", allowed_special="none") == [the]


def test_of_two_ids_with_the_bytes_of_a_special_token_the_smaller_is_special() -> None:
    vocab = {0: b"a"} | {1 + byte: bytes([byte]) for byte in range(256)}
    tokenizer = Tokenizer(vocab, [], ["a"])
    assert tokenizer.encode("aa") == [0, 0]
    assert tokenizer.encode("aa", allowed_special="none") == [98, 98]


def test_a_mapping_gives_special_tokens_their_ids(trained: Trained) -> None:
    tokenizer = Tokenizer(*trained, {"<|pad|>": 2, "<|far|>": 1009})
    assert tokenizer.encode("<|far|><|pad|>") == [1009, 2]
    assert tokenizer.vocab_size == 1010


def test_a_lone_surrogate_is_named_with_its_index(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"^text has a lone surrogate U\+D800 at index 17$"):
        tokenizer.encode("seventeen letters\ud800")


def test_an_unknown_error_handler_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="'strict' or 'replace'"):
        tokenizer.encode("a", errors="ignore")


# Ids that are not in order
def test_shuffled_ids_give_the_same_tokens(trained: Trained, corpus: str) -> None:
    vocab, merges = trained
    numbers = list(vocab)
    random.Random(5).shuffle(numbers)
    shuffled = Tokenizer(
        {number: vocab[old] for old, number in enumerate(numbers)}, merges, SPECIALS
    )
    plain = Tokenizer(vocab, merges, SPECIALS).encode(corpus[:5003])
    assert shuffled.encode(corpus[:5003]) == [numbers[old] for old in plain]


@given(data=st.data())
def test_one_pretoken_is_merged_as_the_naive_way(
    tokenizer: Tokenizer, trained: Trained, data: st.DataObject
) -> None:
    word = data.draw(st.text("theinarosw", max_size=23))
    tokens = [trained[0][i] for i in tokenizer.encode(word)]
    assert tokens == naive_merge(word.encode(), trained[1])


# Arrays and batches
@given(text=texts(SPECIALS))
def test_arrays_hold_the_same_ids(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode_array(text).tolist() == tokenizer.encode(text)


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)]
)
def test_arrays_take_the_smallest_type_that_holds_every_id(
    trained: Trained, vocab_size: int, dtype: type
) -> None:
    tokenizer = Tokenizer(*trained, {"<|last|>": vocab_size - 1})
    ids = tokenizer.encode_array("a<|last|>")
    assert ids.dtype == dtype
    assert ids[-1] == vocab_size - 1


def test_a_batch_is_each_text_encoded(tokenizer: Tokenizer) -> None:
    texts = ["one", "", "two<|pad|>"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_numpy_ids_decode(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_array("the old man")
    assert tokenizer.decode(ids) == tokenizer.decode(list(ids)) == "the old man"


# Identity and sharing
def test_equal_tokenizers_have_equal_hashes(trained: Trained) -> None:
    vocab, merges = trained
    backwards = dict(reversed(vocab.items()))
    assert (
        Tokenizer(vocab, merges, SPECIALS).sha256 == Tokenizer(backwards, merges, SPECIALS).sha256
    )


def test_everything_that_decides_ids_is_in_the_hash(trained: Trained) -> None:
    vocab, merges = trained
    swapped = vocab | {300: vocab[301], 301: vocab[300]}
    different = [
        Tokenizer(vocab, merges, SPECIALS),
        Tokenizer(swapped, merges, SPECIALS),
        Tokenizer(vocab, [*merges[:-2], merges[-1], merges[-2]], SPECIALS),
        Tokenizer(vocab, merges, SPECIALS[:2]),
        Tokenizer(vocab, merges, SPECIALS, pattern="cl100k"),
        Tokenizer(vocab, merges, SPECIALS, ignore_merges=True),
    ]
    assert len({tokenizer.sha256 for tokenizer in different}) == len(different)


def test_a_named_pattern_given_in_full_is_the_named_one(trained: Trained) -> None:
    assert Tokenizer(*trained, pattern=PATTERNS["o200k"]).pattern == "o200k"


def test_a_pickled_tokenizer_gives_the_same_ids(tokenizer: Tokenizer, corpus: str) -> None:
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.sha256 == tokenizer.sha256
    assert copy.encode(corpus[:5003]) == tokenizer.encode(corpus[:5003])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_tokenizer_works_in_child_processes(tokenizer: Tokenizer, method: str) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(tokenizer.encode, ["the old man", "世界"]))
    assert found == [tokenizer.encode("the old man"), tokenizer.encode("世界")]


def test_threads_may_share_a_tokenizer(trained: Trained, corpus: str) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS)
    expected = Tokenizer(*trained, SPECIALS).encode_batch(corpus[:20_011].split("\n"))
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(tokenizer.encode, corpus[:20_011].split("\n")))
    assert found == expected
