"""Filters against the logits processors of transformers, and against their definitions."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from sampling import (
    SamplingConfig,
    apply_filters,
    min_p,
    repetition_penalty,
    temperature,
    top_k,
    top_p,
)

NO_IDS: Any = torch.zeros(3, 1, dtype=torch.long)


def random_logits(seed: int, *shape: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=-1)


@given(st.integers(0, 2**31), st.integers(1, 120))
def test_top_k_equals_transformers(seed: int, k: int) -> None:
    logits = random_logits(seed, 3, 101)
    assert torch.equal(top_k(logits, k), TopKLogitsWarper(k)(NO_IDS, logits))


@given(st.integers(0, 2**31), st.floats(0.01, 1.0))
def test_top_p_equals_transformers(seed: int, p: float) -> None:
    logits = random_logits(seed, 3, 101)
    assert torch.equal(top_p(logits, p), TopPLogitsWarper(p)(NO_IDS, logits))


@given(st.integers(0, 2**31), st.floats(0.01, 1.0), st.floats(0.0, 3.0))
def test_top_p_of_a_large_vocabulary_equals_transformers(seed: int, p: float, steep: float) -> None:
    """Steep ones are decided among the likeliest few, flat ones among all."""
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.stack([torch.randperm(2003, generator=generator) for _ in range(3)])
    logits = -steep * (ranks + 1).log() + torch.randn(3, 2003, generator=generator) / 1000
    assert torch.equal(top_p(logits, p), TopPLogitsWarper(p)(NO_IDS, logits))


@given(st.integers(0, 2**31), st.floats(0.001, 1.0))
def test_min_p_equals_transformers(seed: int, fraction: float) -> None:
    logits = random_logits(seed, 3, 101)
    assert torch.equal(min_p(logits, fraction), MinPLogitsWarper(fraction)(NO_IDS, logits))


@given(st.integers(0, 2**31), st.floats(0.2, 5.0))
def test_repetition_penalty_equals_transformers(seed: int, penalty: float) -> None:
    logits = random_logits(seed, 3, 101)
    ids = torch.randint(101, (3, 37), generator=torch.Generator().manual_seed(seed))
    seen = torch.zeros(3, 101, dtype=torch.bool).scatter(1, ids, True)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(ids, logits)
    torch.testing.assert_close(repetition_penalty(logits, seen, penalty), expected)


@given(st.integers(0, 2**31), st.floats(0.01, 100.0))
def test_temperature_equals_transformers(seed: int, value: float) -> None:
    logits = random_logits(seed, 3, 101)
    torch.testing.assert_close(
        temperature(logits, value), TemperatureLogitsWarper(value)(NO_IDS, logits)
    )


def test_all_filters_equal_transformers_in_order() -> None:
    logits = random_logits(41, 3, 101)
    ids: Any = torch.randint(101, (3, 37), generator=torch.Generator().manual_seed(43))
    seen = torch.zeros(3, 101, dtype=torch.bool).scatter(1, ids, True)
    expected = logits
    for processor in (
        RepetitionPenaltyLogitsProcessor(1.3),
        TemperatureLogitsWarper(0.7),
        TopKLogitsWarper(29),
        TopPLogitsWarper(0.9),
        MinPLogitsWarper(0.05),
    ):
        expected = processor(ids, expected)
    config = SamplingConfig(
        temperature=0.7, top_k=29, top_p=0.9, min_p=0.05, repetition_penalty=1.3
    )
    torch.testing.assert_close(apply_filters(logits, config, seen), expected)


@given(st.integers(0, 2**31), st.floats(0.01, 0.999))
def test_top_p_keeps_the_fewest_tokens_that_reach_p(seed: int, p: float) -> None:
    logits = random_logits(seed, 31).double()
    kept = top_p(logits, p).isfinite()
    probabilities = softmax(logits)
    total = probabilities[kept].sum().item()
    assert total >= p - 1e-12
    assert total - probabilities[kept].min().item() < p + 1e-12


def test_top_p_of_one_keeps_even_the_least_likely() -> None:
    logits = torch.linspace(0, -80, 1009)
    assert torch.equal(top_p(logits, 1.0), logits)


def test_top_p_keeps_the_smaller_of_equal_ids() -> None:
    assert top_p(torch.zeros(5), 0.4).isfinite().tolist() == [True, True, False, False, False]


def test_top_p_keeps_the_smaller_of_equal_ids_of_a_large_vocabulary() -> None:
    kept = top_p(torch.zeros(5003), 0.05).isfinite()
    assert torch.equal(kept.nonzero().flatten(), torch.arange(251))


def test_top_k_keeps_ties() -> None:
    logits = torch.tensor([1.0, 2.0, 1.0, 0.0])
    assert top_k(logits, 2).isfinite().tolist() == [True, True, True, False]


def test_temperature_zero_keeps_the_first_of_the_largest() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0], [0.0, -1.0, -2.0]])
    kept = temperature(logits, 0).isfinite().tolist()
    assert kept == [[False, True, False], [True, False, False]]


def test_temperature_zero_ignores_other_filters() -> None:
    config = SamplingConfig(temperature=0, top_k=1, top_p=0.1)
    assert apply_filters(torch.tensor([1.0, 2.0]), config).tolist() == [-math.inf, 2.0]


@given(st.integers(0, 2**31))
def test_no_filter_removes_the_likeliest(seed: int) -> None:
    logits = random_logits(seed, 3, 17)
    config = SamplingConfig(temperature=0.1, top_k=1, top_p=1e-9, min_p=1.0)
    filtered = apply_filters(logits, config)
    assert torch.equal(filtered.argmax(-1), logits.argmax(-1))
    assert filtered.isfinite().any(-1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_filters_keep_the_dtype_and_any_batch_axes(dtype: torch.dtype) -> None:
    logits = random_logits(5, 2, 3, 7).to(dtype)
    for filtered in (temperature(logits, 0.5), top_k(logits, 2), top_p(logits, 0.5)):
        assert (filtered.dtype, filtered.shape) == (dtype, logits.shape)


def test_filters_leave_their_input_alone() -> None:
    logits = random_logits(5, 3, 7)
    before = logits.clone()
    seen = torch.ones(3, 7, dtype=torch.bool)
    for filtered in (
        temperature(logits, 0),
        top_k(logits, 2),
        top_p(logits, 0.5),
        min_p(logits, 0.5),
        repetition_penalty(logits, seen, 2.0),
    ):
        assert not torch.equal(filtered, before)
    assert torch.equal(logits, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: temperature(x, -1), "^temperature=-1 must be 0 or a finite"),
        (lambda x: top_k(x, 0), "^top_k=0 must be an integer of at least 1$"),
        (lambda x: top_p(x, 0), r"^top_p=0 must be a number in \(0, 1\]$"),
        (lambda x: min_p(x, 2), r"^min_p=2 must be a number in \[0, 1\]$"),
        (lambda x: repetition_penalty(x, x > 0, 0), "^repetition_penalty=0 must be a finite"),
    ],
)
def test_filter_refuses_a_value_out_of_range(
    call: Callable[[Tensor], Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(3))
