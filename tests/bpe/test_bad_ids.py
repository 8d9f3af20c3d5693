"""Ids that no token has: one line with the id and its position."""

import numpy as np
import pytest
from bpe_reference import SPECIALS

from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


@pytest.mark.parametrize("token_id", [99999, -1, 1.5, 769, "a", None, float("nan"), 1.0])
def test_an_unknown_id_is_named_with_its_position(tokenizer: Tokenizer, token_id: int) -> None:
    with pytest.raises(ValueError, match=rf"token id {token_id} at position 2 is outside 0\.\.768"):
        tokenizer.decode([5, 6, token_id])


def test_an_unknown_numpy_id_is_named_with_its_position(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"token id 769 at position 1 is outside 0\.\.768"):
        tokenizer.decode(np.array([5, 769]))


def test_an_id_between_special_tokens_is_called_unused(trained: Trained) -> None:
    tokenizer = Tokenizer(*trained, {"<|far|>": 1009})
    with pytest.raises(ValueError, match="token id 1000 at position 0 is unused"):
        tokenizer.decode([1000])
    assert SPECIALS[0] not in tokenizer.special_tokens
