"""Blocks, parts and edges of the attention for speed."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_accuracy import assert_exact

import nn.fused.attention as fused
from nn import causal_attention
from nn.fused.attention import cpu_causal_attention


@pytest.mark.parametrize(
    ("heads", "kv_heads", "queries", "keys"),
    [(3, 3, 131, 131), (6, 2, 67, 67), (2, 1, 5, 71), (2, 2, 1, 13), (2, 2, 64, 64)],
    ids=["three blocks", "grouped", "cached", "one query", "one whole block"],
)
def test_lengths_and_groups_equal_the_plain_function(
    heads: int, kv_heads: int, queries: int, keys: int
) -> None:
    shapes = (2, heads, queries, 5), (2, kv_heads, keys, 5), (2, kv_heads, keys, 5)
    assert_exact(cpu_causal_attention, causal_attention, [torch.randn(shape) for shape in shapes])


@given(cuts=st.lists(st.integers(1, 130), max_size=5), scores=st.sampled_from([1000, 100_000]))
def test_documents_of_any_length_equal_the_plain_function(cuts: list[int], scores: int) -> None:
    places = torch.arange(131)
    rises = torch.bincount(torch.tensor(cuts, dtype=torch.long), minlength=131)
    documents = torch.stack([rises.cumsum(0), places // 61])
    q, k, v = (torch.randn(2, heads, 131, 3) for heads in (4, 2, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "_SCORES", scores)
        assert_exact(
            partial(cpu_causal_attention, documents=documents),
            partial(causal_attention, documents=documents),
            [q, k, v],
        )


def test_keys_before_all_documents_of_a_block_are_not_read() -> None:
    q, k, v = (torch.randn(1, 2, 128, 3) for _ in range(3))
    v[:, :, :64] = torch.nan
    heads = cpu_causal_attention(q, k, v, torch.arange(128)[None] // 64)
    assert heads[:, :, 64:].isfinite().all()


@given(scores=st.sampled_from([1, 50, 100, 200, 400, 1000, 10_000]), group=st.sampled_from([1, 2]))
def test_parts_change_nothing(scores: int, group: int) -> None:
    q, k, v = (torch.randn(3, heads, 7, 4) for heads in (6, 6 // group, 6 // group))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "_SCORES", scores)
        assert_exact(cpu_causal_attention, causal_attention, [q, k, v])


def test_scores_far_below_zero_and_far_above_do_not_overflow() -> None:
    q, k, v = (torch.randn(1, 2, 67, 3) for _ in range(3))
    q = (q * 1e3).requires_grad_()
    heads = cpu_causal_attention(q, k, v)
    exact = causal_attention(q.double(), k.double(), v.double()).float()
    torch.testing.assert_close(heads, exact, rtol=1e-3, atol=1e-3)
    (gradient,) = torch.autograd.grad(heads.sum(), q)
    assert gradient.isfinite().all()


def test_scores_are_not_kept() -> None:
    kept = []
    q, k, v = (torch.randn(1, 2, 67, 3, requires_grad=True) for _ in range(3))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()), lambda t: t):
        cpu_causal_attention(q, k, v)
    assert max(kept) == q.numel()


def test_heads_join_without_a_copy() -> None:
    q, k, v = (torch.randn(2, 3, 5, 7) for _ in range(3))
    assert cpu_causal_attention(q, k, v).transpose(1, 2).is_contiguous()


def test_more_queries_than_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="queries=5 are more than keys=3"):
        cpu_causal_attention(torch.zeros(1, 2, 5, 7), *torch.zeros(2, 1, 2, 3, 7))


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="heads=3 is not divisible by kv_heads=2"):
        cpu_causal_attention(torch.zeros(1, 3, 5, 7), *torch.zeros(2, 1, 2, 5, 7))
