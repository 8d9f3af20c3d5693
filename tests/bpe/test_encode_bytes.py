"""UTF-8 in memory is encoded as its text is, without being decoded first."""

import mmap
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bpe_reference import SPECIALS, texts
from hypothesis import given
from hypothesis import strategies as st

from bpe import Tokenizer
from bpe.kernels.encoding import KernelEncoder
from bpe.reference_encoder import ReferenceEncoder
from bpe.vocabulary import check_vocabulary

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]

# Longer than what the kernels encode in one go.
LONG = "a line with d\u00e9j\u00e0 vu<|endoftext|>\n" * 20_011


@pytest.fixture(scope="module", params=["reference", "kernels"])
def engine(trained: Trained, request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer(*trained, SPECIALS, engine=request.param)


@given(
    text=texts([*SPECIALS, "x" * 67]),
    specials=st.lists(st.sampled_from(SPECIALS), unique=True),
    chunk_bytes=st.sampled_from([1, 7, 61]),
    workers=st.sampled_from([1, 2]),
)
def test_bytes_have_the_ids_of_their_text(
    encoders: dict[int, KernelEncoder],
    reference: ReferenceEncoder,
    text: str,
    specials: list[str],
    chunk_bytes: int,
    workers: int,
) -> None:
    data = memoryview(text.encode())
    expected = reference.encode(text, specials, "strict")
    found = encoders[chunk_bytes].encode_array(data, specials, "strict", workers)
    assert found.tolist() == expected
    assert reference.encode_array(data, specials, "strict").tolist() == expected


@pytest.fixture(scope="module")
def encoders(trained: Trained) -> dict[int, KernelEncoder]:
    vocabulary = check_vocabulary(*trained, SPECIALS)
    return {size: KernelEncoder(vocabulary, chunk_bytes=size) for size in (1, 7, 61)}


@pytest.fixture(scope="module")
def reference(trained: Trained) -> ReferenceEncoder:
    return ReferenceEncoder(check_vocabulary(*trained, SPECIALS))


@pytest.mark.parametrize(
    "hold",
    [bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8), lambda d: array("b", d)],
)
@pytest.mark.parametrize("text", ["", "whose key", LONG])
def test_any_buffer_of_bytes_is_taken(
    engine: Tokenizer, hold: Callable[[bytes], Any], text: str
) -> None:
    assert engine.encode_array(hold(text.encode())).tolist() == engine.encode(text)


def test_specials_can_be_text_in_bytes_too(engine: Tokenizer) -> None:
    found = engine.encode_array(LONG.encode(), allowed_special="none")
    assert found.tolist() == engine.encode(LONG, allowed_special="none")


@pytest.mark.parametrize("lines", [3, 100_003])
def test_what_is_not_utf8_is_named_with_offset_and_line(engine: Tokenizer, lines: int) -> None:
    with pytest.raises(ValueError, match="invalid byte") as caught:
        engine.encode_array(b"seven b\n" * lines + b"\xff seven")
    assert str(caught.value) == (
        f"text: invalid byte 0xff at offset {8 * lines:,} (line {lines + 1:,}); "
        "the text must be UTF-8"
    )


@pytest.mark.parametrize("lines", [3, 100_003])
def test_what_is_not_utf8_can_be_replaced(engine: Tokenizer, lines: int) -> None:
    data = b"seven \xf0\x9f\n" * lines
    found = engine.encode_array(data, errors="replace")
    assert found.tolist() == engine.encode(data.decode(errors="replace"))


def test_a_mapped_file_can_be_closed_after_it_was_encoded(
    engine: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(LONG.encode())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        ids = engine.encode_array(text)
    assert ids.tolist() == engine.encode(LONG)


@pytest.mark.parametrize("lines", [3, 100_003])
def test_a_mapped_file_can_be_closed_after_an_error(
    engine: Tokenizer, lines: int, tmp_path: Path
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"seven b\n" * lines + b"\xff")
    with (
        path.open("rb") as file,
        pytest.raises(ValueError, match="invalid byte 0xff"),
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
        engine.encode_array(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (3, "is a int, not a str or bytes"),
        (array("d", [1.5]), "is a array of 'd' with 1 axes, not a row of bytes"),
        (np.zeros((3, 5), np.uint8), "is a ndarray of 'B' with 2 axes, not a row of bytes"),
    ],
)
def test_what_is_neither_text_nor_bytes_is_refused(engine: Tokenizer, text: Any, what: str) -> None:
    with pytest.raises(TypeError, match=what):
        engine.encode_array(text)


def test_a_lone_surrogate_far_inside_a_text_is_named(engine: Tokenizer) -> None:
    text = LONG + "\udc80" + LONG
    with pytest.raises(ValueError, match=rf"U\+DC80 at index {len(LONG)}$"):
        engine.encode_array(text)


def test_a_lone_surrogate_far_inside_a_text_can_be_replaced(engine: Tokenizer) -> None:
    found = engine.encode_array(LONG + "\udc80" + LONG, errors="replace")
    assert found.tolist() == engine.encode(LONG + "\ufffd" + LONG)
