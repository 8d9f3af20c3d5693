"""Attention: against torch and the formula, masks, causality, and the choices of the layer."""

import math

import pytest
import reference
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import Tensor

from nn import (
    MultiHeadSelfAttention,
    RotaryPositionalEmbedding,
    causal_attention,
    causal_mask,
    scaled_dot_product_attention,
)


def example(*batch: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.randn(*batch, 5, 3), torch.randn(*batch, 7, 3), torch.randn(*batch, 7, 11)
    return q.to(dtype), k.to(dtype), v.to(dtype)


def some_mask(*shape: int) -> Tensor:
    mask = torch.rand(shape) < 0.5
    mask[..., 2] = True
    return mask


def test_attention_equals_the_formula() -> None:
    q, k, v = example(2, 3, dtype=torch.float64)
    mask = some_mask(2, 3, 5, 7)
    expected = reference.attention(q.numpy(), k.numpy(), v.numpy(), mask.numpy())
    ours = scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(ours, torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3), (2, 3, 2)])
def test_attention_equals_torch(batch: tuple[int, ...]) -> None:
    q, k, v = example(*batch)
    expected = F.scaled_dot_product_attention(q, k, v)
    ours = scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 7), (1, 7), (5, 1), (3, 5, 7), (2, 1, 5, 7), (2, 3, 1, 7)])
def test_attention_broadcasts_its_mask_as_torch_does(shape: tuple[int, ...]) -> None:
    q, k, v = example(2, 3)
    mask = torch.ones(shape, dtype=torch.bool) if shape[-1] == 1 else some_mask(*shape)
    expected = F.scaled_dot_product_attention(q, k, v, mask)
    ours = scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_attention_of_bfloat16_is_near_float32() -> None:
    q, k, v = example(2, 3, dtype=torch.bfloat16)
    ours = scaled_dot_product_attention(q, k, v, some_mask(5, 7))
    assert ours.dtype == torch.bfloat16
    torch.manual_seed(7)
    q, k, v = example(2, 3, dtype=torch.bfloat16)
    expected = scaled_dot_product_attention(q.float(), k.float(), v.float(), some_mask(5, 7))
    torch.testing.assert_close(ours.float(), expected, rtol=0, atol=3e-2)


def test_attention_gradient_is_exact() -> None:
    q, k, v = (t.requires_grad_() for t in example(2, dtype=torch.float64))
    mask = some_mask(2, 5, 7)
    mask[1, 3] = False
    assert torch.autograd.gradcheck(scaled_dot_product_attention, (q, k, v, mask))


def test_the_gradient_of_a_query_that_sees_one_key_is_exact() -> None:
    q, k, v = (torch.randn(2, 5, 7, dtype=torch.float64, requires_grad=True) for _ in "qkv")
    grad = torch.randn(2, 5, 7, dtype=torch.float64)
    mask = causal_mask(5, 5)
    ours = torch.autograd.grad(scaled_dot_product_attention(q, k, v, mask), (q, k, v), grad)
    expected = F.scaled_dot_product_attention(q, k, v, mask)
    for actual, exact in zip(ours, torch.autograd.grad(expected, (q, k, v), grad), strict=True):
        torch.testing.assert_close(actual, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kv_heads", "queries"), [(6, 5), (3, 5), (2, 3)])
def test_causal_attention_equals_torch(kv_heads: int, queries: int) -> None:
    q = torch.randn(2, 6, queries, 7)
    k, v = torch.randn(2, kv_heads, 5, 7), torch.randn(2, kv_heads, 5, 11)
    mask = causal_mask(queries, 5)
    expected = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    torch.testing.assert_close(causal_attention(q, k, v), expected, rtol=1e-5, atol=1e-6)


def test_attention_of_a_query_that_sees_nothing_is_zero() -> None:
    q, k, v = (t.requires_grad_() for t in example(2, 3))
    mask = some_mask(5, 7)
    mask[3] = False
    output = scaled_dot_product_attention(q, k, v, mask)
    assert (output[..., 3, :] == 0).all()
    gradients = torch.autograd.grad(output.sum(), (q, k, v))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_attention_survives_huge_scores() -> None:
    q, k, v = example(2)
    output = scaled_dot_product_attention(1e15 * q, 1e15 * k, v)
    assert output.isfinite().all()


def test_attention_leaves_its_arguments_alone() -> None:
    q, k, v = example()
    mask = some_mask(5, 7)
    before = [t.clone() for t in (q, k, v, mask)]
    scaled_dot_product_attention(q, k, v, mask)
    assert all(torch.equal(a, b) for a, b in zip(before, (q, k, v, mask), strict=True))


def test_attention_refuses_a_mask_of_numbers() -> None:
    q, k, v = example()
    with pytest.raises(TypeCheckError, match="mask"):
        scaled_dot_product_attention(q, k, v, torch.zeros(5, 7))


def test_causal_mask_is_a_triangle_that_ends_at_the_last_key() -> None:
    assert causal_mask(3, 5).int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("num_kv_heads", [1, 2, 6])
@pytest.mark.parametrize("theta", [None, 100.0])
def test_layer_equals_the_formula(num_kv_heads: int, theta: float | None) -> None:
    rope = None if theta is None else RotaryPositionalEmbedding(theta, 4, 11)
    layer = MultiHeadSelfAttention(24, 6, num_kv_heads=num_kv_heads, rope=rope, dtype=torch.float64)
    x = torch.randn(2, 7, 24, dtype=torch.float64)
    weights = {name: weight.numpy() for name, weight in layer.state_dict().items()}
    expected = torch.stack(
        [
            torch.from_numpy(
                reference.multi_head_self_attention(row.numpy(), weights, 6, num_kv_heads, theta)
            )
            for row in x
        ]
    )
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 6), st.booleans(), st.booleans())
def test_layer_is_causal(changed: int, with_rope: bool, qk_norm: bool) -> None:
    rope = RotaryPositionalEmbedding(1e4, 6, 11) if with_rope else None
    layer = MultiHeadSelfAttention(18, 3, rope=rope, qk_norm=qk_norm)
    x = torch.randn(2, 7, 18)
    other = x.clone()
    other[:, changed:] = torch.randn(2, 7 - changed, 18)
    assert torch.equal(layer(x)[:, :changed], layer(other)[:, :changed])
    assert not torch.equal(layer(x)[:, changed:], layer(other)[:, changed:])


def test_layer_takes_any_batch_axes() -> None:
    layer, x = MultiHeadSelfAttention(18, 3), torch.randn(2, 3, 5, 7, 18)
    rows = layer(x.flatten(0, 2)).reshape(x.shape)
    torch.testing.assert_close(layer(x), rows, rtol=0, atol=1e-6)
    torch.testing.assert_close(layer(x[1, 2, 4]), rows[1, 2, 4], rtol=0, atol=1e-6)


def test_layer_with_a_mask_attends_as_it_says() -> None:
    layer, x = MultiHeadSelfAttention(18, 3), torch.randn(2, 7, 18)
    everything = torch.ones(7, 7, dtype=torch.bool)
    # Without positions and with everything in sight, the order of the tokens is no matter.
    order = torch.randperm(7)
    torch.testing.assert_close(
        layer(x[:, order], mask=everything), layer(x, mask=everything)[:, order], rtol=0, atol=1e-6
    )


def test_layer_takes_a_mask_for_each_sequence() -> None:
    layer, x, mask = MultiHeadSelfAttention(18, 3), torch.randn(2, 7, 18), some_mask(2, 7, 7)
    expected = torch.stack([layer(x[i], mask=mask[i]) for i in range(2)])
    torch.testing.assert_close(layer(x, mask=mask), expected, rtol=0, atol=1e-6)


def test_layer_shares_key_and_value_heads_as_torch_does() -> None:
    layer, x = MultiHeadSelfAttention(24, 6, num_kv_heads=2), torch.randn(3, 5, 24)
    q, k, v = (
        F.linear(x, proj.weight).view(3, 5, -1, 4).transpose(1, 2)
        for proj in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    heads = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    expected = F.linear(heads.transpose(1, 2).flatten(-2), layer.output_proj.weight)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_layer_with_qk_norm_ignores_the_scale_of_queries_and_keys() -> None:
    layer, x = MultiHeadSelfAttention(18, 3, qk_norm=True), torch.randn(2, 7, 18)
    before = layer(x)
    with torch.no_grad():
        layer.q_proj.weight.mul_(64)
        layer.k_proj.weight.mul_(1024)
    torch.testing.assert_close(layer(x), before, rtol=0, atol=1e-3)


def test_layer_with_qk_norm_bounds_the_scores() -> None:
    layer = MultiHeadSelfAttention(18, 3, qk_norm=True)
    q = layer.q_norm(1e3 * torch.randn(2, 3, 7, 6)).detach()
    assert float((q @ q.mT / math.sqrt(6)).abs().max()) <= math.sqrt(6) + 1e-4


@pytest.mark.parametrize(
    ("d_model", "num_heads", "num_kv_heads", "message"),
    [
        (100, 16, None, "^d_model=100 is not divisible by num_heads=16$"),
        (96, 16, 5, "^num_heads=16 is not divisible by num_kv_heads=5$"),
    ],
)
def test_layer_refuses_sizes_that_do_not_divide(
    d_model: int, num_heads: int, num_kv_heads: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MultiHeadSelfAttention(d_model, num_heads, num_kv_heads=num_kv_heads)


@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("d_v", [8, 6])
def test_attention_refuses_heads_that_do_not_divide(queries: int, d_v: int) -> None:
    q, k, v = torch.zeros(1, 4, queries, 8), torch.zeros(1, 3, 5, 8), torch.zeros(1, 3, 5, d_v)
    with pytest.raises(ValueError, match=r"^heads=4 is not divisible by kv_heads=3$"):
        causal_attention(q, k, v)


def test_layer_refuses_a_rope_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"^rope\.d_k=8 is not d_model / num_heads = 6$"):
        MultiHeadSelfAttention(18, 3, rope=RotaryPositionalEmbedding(1e4, 8, 11))
