"""`embedding` and `Embedding`: rows by id, gradients that add up, ids held to the table."""

import pytest
import torch
import torch.nn.functional as F

from nn import Embedding, embedding


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_embedding_equals_torch(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    weight, ids = torch.randn(11, 7), torch.randint(0, 11, batch, dtype=dtype)
    assert torch.equal(embedding(ids, weight), F.embedding(ids, weight))


def test_embedding_gradient_adds_up_over_repeated_ids() -> None:
    weight = torch.randn(11, 7, requires_grad=True)
    ids, gradient = torch.tensor([[3, 5, 3], [3, 0, 10]]), torch.randn(2, 3, 7)
    (ours,) = torch.autograd.grad(embedding(ids, weight), weight, gradient)
    (theirs,) = torch.autograd.grad(F.embedding(ids, weight), weight, gradient)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("token_id", [11, -1, 70_000])
def test_embedding_names_an_id_outside_the_vocabulary(token_id: int) -> None:
    ids = torch.tensor([[3, 5, 2], [3, token_id, 0]])
    with pytest.raises(IndexError, match=rf"^token id {token_id} at place 4 is outside 0\.\.10$"):
        embedding(ids, torch.randn(11, 7))


def test_embedding_of_no_tokens_is_empty() -> None:
    assert embedding(torch.empty(2, 0, dtype=torch.int64), torch.randn(11, 7)).shape == (2, 0, 7)


def test_embedding_starts_with_unit_variance_cut_at_three() -> None:
    weight = Embedding(503, 307, generator=torch.Generator().manual_seed(0)).weight.detach()
    assert float(weight.std()) == pytest.approx(0.9866, rel=5e-3)
    assert 2.9 < float(weight.abs().max()) <= 3.0
