"""Documents that share a sequence: each is computed as if it stood alone."""

from typing import Any

import pytest
import torch
from torch import Tensor

from nn import (
    KVCache,
    ModelConfig,
    TransformerLM,
    causal_attention,
    causal_mask,
    document_mask,
    document_numbers,
    scaled_dot_product_attention,
)
from nn.documents import document_begins

SEPARATOR = 3
# Three documents, of which the first has no separator: the sequence begins in its middle.
IDS = torch.tensor([7, 5, 11, 3, 13, 2, 3, 17, 5, 7, 19])
PIECES = [slice(0, 3), slice(3, 6), slice(6, 11)]


def build(dtype: torch.dtype, **choices: Any) -> TransformerLM:
    config = ModelConfig(
        vocab_size=23, context_length=11, d_model=24, num_layers=2, num_heads=6, **choices
    )
    return TransformerLM(config, dtype=dtype, generator=torch.Generator().manual_seed(3))


def test_a_separator_begins_the_next_document() -> None:
    expected = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2]
    assert document_numbers(IDS, SEPARATOR).tolist() == expected


def test_a_token_sees_its_own_document() -> None:
    mask = document_mask(torch.tensor([[0, 0, 1], [2, 5, 5]])).int().tolist()
    assert mask[0] == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert mask[1] == [[1, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_documents_begin_where_their_number_does() -> None:
    documents = torch.tensor([[0, 0, 1, 1, 3], [2, 2, 2, 2, 2]])
    assert document_begins(documents).tolist() == [[0, 0, 2, 2, 4], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("choices", [{}, {"num_kv_heads": 2}, {"position": "none"}], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-5)], ids=["plain", "fused"]
)
def test_packed_documents_have_the_logits_of_each_alone(
    dtype: torch.dtype, tolerance: float, choices: dict[str, Any]
) -> None:
    model = build(dtype, **choices)
    packed = model(IDS, documents=document_numbers(IDS, SEPARATOR))
    # Positions differ, and cosines and sines are rounded to float32.
    alone = torch.cat([model(IDS[piece]) for piece in PIECES])
    torch.testing.assert_close(packed, alone, rtol=tolerance, atol=tolerance)
    assert (model(IDS) - alone).abs().max() > 1e-3


def gradients(model: TransformerLM, documents: Tensor | None) -> list[Tensor]:
    ids = torch.stack([IDS, IDS.roll(2)])
    loss = model.loss(ids, ids.roll(-1), documents)
    return list(torch.autograd.grad(loss, list(model.parameters())))


def test_gradients_equal_those_of_the_plain_functions() -> None:
    documents = document_numbers(torch.stack([IDS, IDS.roll(2)]), SEPARATOR)
    exact = gradients(build(torch.float32).double(), documents)
    for ours, expected in zip(gradients(build(torch.float32), documents), exact, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-6)


def test_blocks_computed_again_have_the_same_gradients() -> None:
    documents = document_numbers(torch.stack([IDS, IDS.roll(2)]), SEPARATOR)
    model = build(torch.float32)
    expected = gradients(model, documents)
    model.activation_checkpointing = True
    for ours, kept in zip(gradients(model, documents), expected, strict=True):
        assert torch.equal(ours, kept)


def test_one_document_is_bit_equal_to_none() -> None:
    q, k, v = (torch.randn(2, 3, 67, 5) for _ in range(3))
    one = torch.zeros(2, 67, dtype=torch.long)
    assert torch.equal(causal_attention(q, k, v, one), causal_attention(q, k, v))


def test_numbers_broadcast_over_the_batch() -> None:
    q, k, v = (torch.randn(2, 5, 3, 11, 4) for _ in range(3))
    documents = document_numbers(IDS, SEPARATOR)
    mask = causal_mask(11, 11) & document_mask(documents)
    expected = scaled_dot_product_attention(q, k, v, mask)
    ours = causal_attention(q, k, v, documents.expand(5, 11))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_a_cache_with_documents_is_refused() -> None:
    model = build(torch.float32)
    with pytest.raises(ValueError, match="documents go with neither a mask nor a cache"):
        model(IDS[None], KVCache(model.config, 1), documents=torch.zeros_like(IDS[None]))


def test_a_mask_with_documents_is_refused() -> None:
    with pytest.raises(ValueError, match="documents go with neither a mask nor a cache"):
        build(torch.float32)(IDS, mask=causal_mask(11, 11), documents=torch.zeros_like(IDS))


def test_documents_with_another_number_of_keys_are_refused() -> None:
    q, kv = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 5, 4)
    with pytest.raises(ValueError, match="as many queries=3 as keys=5"):
        causal_attention(q, kv, kv, torch.zeros(1, 3, dtype=torch.long))


def test_numbers_that_fall_are_refused() -> None:
    with pytest.raises(ValueError, match="the numbers fall along a sequence"):
        build(torch.float32)(IDS[:3], documents=torch.tensor([0, 1, 0]))
