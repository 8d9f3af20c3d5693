"""`check_ids`: it names what is wrong, and stays out of a traced graph."""

import pytest
import torch

from nn.token_ids import check_ids


def test_ids_inside_pass() -> None:
    check_ids(torch.tensor([[0, 10], [5, 3]]), 11, what="token id")


def test_no_ids_pass() -> None:
    check_ids(torch.empty(0, dtype=torch.int64), 11, what="token id")


def test_first_wrong_id_is_named() -> None:
    with pytest.raises(IndexError, match=r"^token id 12 at place 2 is outside 0\.\.10$"):
        check_ids(torch.tensor([[0, 10], [12, -3]]), 11, what="token id")


def test_a_size_may_be_more_than_the_dtype_holds() -> None:
    check_ids(torch.tensor([0, 127], dtype=torch.int8), 1000, what="token id")
    with pytest.raises(IndexError, match=r"^token id -3 at place 1 is outside 0\.\.999$"):
        check_ids(torch.tensor([127, -3], dtype=torch.int8), 1000, what="token id")
