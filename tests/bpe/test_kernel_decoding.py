"""The kernels decode exactly as the reference does."""

from typing import Any

import numpy as np
import pytest
from bpe_reference import SPECIALS
from hypothesis import given
from hypothesis import strategies as st

from bpe.token_decoder import LOAD_FROM
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]
_DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u2", ">i4"]


@pytest.fixture(scope="module")
def kernels(trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS, engine="kernels")


@pytest.fixture(scope="module")
def reference(trained: Trained) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS, engine="reference")


@given(ids=st.lists(st.integers(0, 768), max_size=97))
def test_bytes_of_a_list_are_those_of_the_reference(
    kernels: Tokenizer, reference: Tokenizer, ids: list[int]
) -> None:
    assert kernels.decode_bytes(ids) == reference.decode_bytes(ids)


@pytest.mark.parametrize("dtype", _DTYPES)
def test_bytes_of_an_array_are_those_of_the_reference(
    kernels: Tokenizer, reference: Tokenizer, dtype: str
) -> None:
    largest = min(769, 1 + np.iinfo(dtype).max)
    ids = np.random.default_rng(7).integers(0, largest, 1009).astype(dtype)
    assert kernels.decode_bytes(ids) == reference.decode_bytes(ids)
    assert kernels.decode_bytes(ids[::-3]) == reference.decode_bytes(ids[::-3])
    assert kernels.decode_bytes(ids[:0]) == b""


@pytest.mark.parametrize(
    "ids",
    [
        [1, 2, 769],
        [-1],
        [5, 2**31],
        [5, 2**32],
        [5, 2**64],
        [-(2**32) + 5],
        [1.0],
        [3, None],
        ["3"],
        np.array([3, 769], np.uint16),
        np.array([3, -1], np.int32),
        np.array([3, -1], np.int8),
        np.array([3, 2**63 + 3], np.uint64),
        np.array([3.0]),
        np.array([[3, 4]]),
    ],
    ids=str,
)
def test_what_is_no_id_is_refused_as_by_the_reference(
    kernels: Tokenizer, reference: Tokenizer, ids: Any
) -> None:
    with pytest.raises(ValueError, match="token id") as expected:
        reference.decode_bytes(ids)
    with pytest.raises(ValueError, match="token id") as found:
        kernels.decode_bytes(ids)
    assert str(found.value) == str(expected.value)


def test_an_id_that_is_unused_is_refused(trained: Trained) -> None:
    tokenizer = Tokenizer(*trained, {"<|late|>": 1009}, engine="kernels")
    assert tokenizer.decode_bytes([1009, 300]).startswith(b"<|late|>")
    with pytest.raises(ValueError, match="token id 1000 at position 1 is unused"):
        tokenizer.decode_bytes([300, 1000])


@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 61, 1009])
def test_tokens_of_any_length_are_copied_whole(length: int) -> None:
    vocab = {i: bytes([i]) for i in range(256)}
    special = "".join(chr(97 + i % 23) for i in range(length))
    tokenizer = Tokenizer(vocab, [], {special: 256}, engine="kernels")
    # The last token of all is the one behind which nothing may be written.
    for ids in ([256], [256, 256, 97], [97, 256], [97] * 11 + [256]):
        expected = b"".join(special.encode() if i == 256 else b"a" for i in ids)
        assert tokenizer.decode_bytes(ids) == expected


def test_iterators_and_tuples_decode_too(kernels: Tokenizer, reference: Tokenizer) -> None:
    ids = list(range(769))
    expected = reference.decode_bytes(ids)
    assert kernels.decode_bytes(iter(ids)) == expected
    assert kernels.decode_bytes(tuple(ids)) == expected
    assert kernels.decode_bytes(range(769)) == expected
    assert kernels.decode_bytes(b"abcd") == reference.decode_bytes(b"abcd")


def test_kernels_take_over_for_many_ids(trained: Trained) -> None:
    # Compiled in any case: what is not compiled is waited for longer.
    Tokenizer(*trained, engine="kernels")
    tokenizer = Tokenizer(*trained)
    ids = np.full(LOAD_FROM, 300, np.uint16)
    assert tokenizer.decode_bytes(ids[:1009]) == trained[0][300] * 1009
    assert tokenizer._decoder._kernels is None
    assert tokenizer.decode_bytes(ids) == trained[0][300] * LOAD_FROM
    assert tokenizer._decoder._kernels is not None
