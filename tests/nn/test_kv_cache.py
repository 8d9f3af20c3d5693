"""`KVCache`: decoding in any pieces gives what the whole gives, and its limits speak up."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nn import KVCache, ModelConfig, TransformerLM


def build(**choices: Any) -> TransformerLM:
    config = ModelConfig(
        vocab_size=53, context_length=23, d_model=24, num_layers=2, num_heads=6, **choices
    )
    return TransformerLM(config, generator=torch.Generator().manual_seed(3)).requires_grad_(False)


def in_pieces(model: TransformerLM, token_ids: Tensor, cuts: list[int]) -> Tensor:
    cache = KVCache(model.config, token_ids.shape[0])
    ends = [*sorted(cuts), token_ids.shape[1]]
    pieces, start = [], 0
    for end in ends:
        pieces.append(model(token_ids[:, start:end], cache))
        start = end
    return torch.cat(pieces, dim=1)


@settings(max_examples=12)
@given(
    st.sets(st.integers(1, 18), max_size=5),
    st.sampled_from([1, 3, 6]),
    st.sampled_from(["rope", "none"]),
    st.booleans(),
)
def test_cached_forward_equals_the_full_forward(
    cuts: set[int], num_kv_heads: int, position: str, qk_norm: bool
) -> None:
    model = build(num_kv_heads=num_kv_heads, position=position, qk_norm=qk_norm)
    token_ids = torch.randint(0, 53, (3, 19))
    whole = model(token_ids)
    torch.testing.assert_close(in_pieces(model, token_ids, list(cuts)), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "choices", [{}, {"value_embeddings": (0, 1), "num_kv_heads": 2, "logit_soft_cap": 2.0}]
)
def test_token_by_token_equals_the_full_forward_up_to_the_whole_context(
    choices: dict[str, Any],
) -> None:
    model, token_ids = build(**choices), torch.randint(0, 53, (2, 23))
    pieces = in_pieces(model, token_ids, list(range(1, 23)))
    torch.testing.assert_close(pieces, model(token_ids), rtol=0, atol=1e-5)


def test_left_padded_batch_equals_each_prompt_alone() -> None:
    model = build()
    prompts = [torch.randint(0, 53, (length,)) for length in (3, 7, 5)]
    longest = 7
    padding = torch.tensor([longest - len(p) for p in prompts]).unsqueeze(1)
    token_ids = torch.stack([torch.cat((torch.zeros(longest - len(p)).long(), p)) for p in prompts])
    cache = KVCache(model.config, 3)
    positions = (torch.arange(longest) - padding).clamp(min=0)
    logits = model(
        token_ids, cache, positions=positions, mask=(torch.arange(longest) >= padding).unsqueeze(1)
    )
    next_ids = torch.tensor([[11], [13], [17]])
    then = model(
        next_ids,
        cache,
        positions=longest - padding,
        mask=(torch.arange(longest + 1) >= padding).unsqueeze(1),
    )
    for i, prompt in enumerate(prompts):
        alone = model(torch.cat((prompt, next_ids[i])))
        torch.testing.assert_close(logits[i, -1], alone[-2], rtol=0, atol=1e-5)
        torch.testing.assert_close(then[i, 0], alone[-1], rtol=0, atol=1e-5)


def test_cache_serves_one_sequence_without_a_batch_axis() -> None:
    model, token_ids = build(), torch.randint(0, 53, (11,))
    cache = KVCache(model.config, 1)
    pieces = torch.cat([model(token_ids[:5], cache), model(token_ids[5:], cache)])
    torch.testing.assert_close(pieces, model(token_ids), rtol=0, atol=1e-5)


def test_cache_serves_several_batch_axes() -> None:
    model, token_ids = build(), torch.randint(0, 53, (2, 3, 11))
    cache = KVCache(model.config, 6)
    pieces = torch.cat([model(token_ids[..., :5], cache), model(token_ids[..., 5:], cache)], -2)
    torch.testing.assert_close(pieces, model(token_ids), rtol=0, atol=1e-5)


def test_reset_cache_forgets_everything() -> None:
    model, token_ids = build(), torch.randint(0, 53, (3, 11))
    cache = KVCache(model.config, 3)
    model(torch.randint(0, 53, (3, 7)), cache)
    assert cache.length == 7
    cache.reset()
    assert torch.equal(model(token_ids, cache), model(token_ids, KVCache(model.config, 3)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_cache_of_either_dtype_serves_a_bfloat16_model(dtype: torch.dtype) -> None:
    model, token_ids = build().to(torch.bfloat16), torch.randint(0, 53, (3, 11))
    cache = KVCache(model.config, 3, dtype=dtype)
    pieces = torch.cat([model(token_ids[:, :5], cache), model(token_ids[:, 5:], cache)], 1)
    assert pieces.dtype == torch.bfloat16
    torch.testing.assert_close(pieces, model(token_ids), rtol=0, atol=3e-2)


def test_float32_cache_serves_a_model_under_autocast() -> None:
    model, token_ids = build(), torch.randint(0, 53, (3, 11))
    cache = KVCache(model.config, 3)
    with torch.autocast("cpu", torch.bfloat16):
        whole = model(token_ids)
        pieces = torch.cat([model(token_ids[:, :5], cache), model(token_ids[:, 5:], cache)], 1)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=3e-2)


def test_cache_holds_no_graph() -> None:
    model = build().requires_grad_(True)
    cache = KVCache(model.config, 3)
    model(torch.randint(0, 53, (3, 7)), cache)
    assert not cache.layer(0).keys.requires_grad


def test_full_cache_says_so_and_stays_as_it_was() -> None:
    model = build()
    cache = KVCache(model.config, 1, max_length=7)
    model(torch.randint(0, 53, (1, 5)), cache)
    with pytest.raises(
        ValueError, match=r"^the cache holds 5 tokens of max_length=7: 3 more do not fit$"
    ):
        model(torch.randint(0, 53, (1, 3)), cache)
    assert cache.length == 5


def test_cache_beyond_the_context_length_is_refused() -> None:
    model = build()
    cache = KVCache(model.config, 1, max_length=29)
    model(torch.randint(0, 53, (1, 23)), cache)
    with pytest.raises(ValueError, match=r"^24 tokens exceed model\.context_length=23$"):
        model(torch.tensor([[5]]), cache)
