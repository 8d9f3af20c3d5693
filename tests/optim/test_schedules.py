"""Schedules at their knots, between them, and past their end."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optim import constant_lr, cosine_lr, linear_lr, wsd_lr

# What a caller without a type checker may pass.
LOG: Any = "log"

iterations = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("it", "expected"),
    [(0, 0.0), (1, 0.2), (5, 1.0), (10, 0.55), (15, 0.1), (16, 0.1), (1000, 0.1)],
)
def test_cosine_at_its_knots(it: int, expected: float) -> None:
    assert cosine_lr(it, 1.0, 0.1, 5, 15) == pytest.approx(expected, abs=1e-15)


def test_cosine_equals_torch_after_warm_up() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.7)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=31, eta_min=0.03)
    for it in range(32):
        assert cosine_lr(it, 0.7, 0.03, 0, 31) == pytest.approx(
            schedule.get_last_lr()[0], abs=1e-12
        )
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("it", "expected"), [(0, 0.0), (2, 0.4), (5, 1.0), (10, 0.55), (15, 0.1), (99, 0.1)]
)
def test_linear_at_its_knots(it: int, expected: float) -> None:
    assert linear_lr(it, 1.0, 0.1, 5, 15) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("it", "expected"),
    [(0, 0.0), (3, 0.6), (5, 1.0), (12, 1.0), (13, 1.0), (16, 0.55), (19, 0.1), (20, 0.1)],
)
def test_wsd_at_its_knots(it: int, expected: float) -> None:
    assert wsd_lr(it, 1.0, 0.1, 5, 13, 19) == pytest.approx(expected, abs=1e-15)


def test_wsd_sqrt_at_a_quarter_of_its_fall_is_half_way() -> None:
    assert wsd_lr(14, 1.0, 0.0, 5, 13, 17, decay="sqrt") == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize(
    ("it", "expected"), [(0, 0.0), (2, 0.4), (5, 1.0), (6, 1.0), (10_000, 1.0)]
)
def test_constant_at_its_knots(it: int, expected: float) -> None:
    assert constant_lr(it, 1.0, 5) == pytest.approx(expected)


def test_without_warm_up_the_first_step_has_the_maximum() -> None:
    rates = [cosine_lr(0, 0.3, 0, 0, 7), linear_lr(0, 0.3, 0, 0, 7), wsd_lr(0, 0.3, 0, 0, 5, 7)]
    assert [*rates, constant_lr(0, 0.3)] == [0.3] * 4


@given(iterations, st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_every_rate_is_between_its_ends(it: int, warmup: int, hold: int, fall: int) -> None:
    rates = [
        cosine_lr(it, 0.7, 0.2, warmup, warmup + fall),
        linear_lr(it, 0.7, 0.2, warmup, warmup + fall),
        wsd_lr(it, 0.7, 0.2, warmup, warmup + hold, warmup + hold + fall),
        wsd_lr(it, 0.7, 0.2, warmup, warmup + hold, warmup + hold + fall, decay="sqrt"),
    ]
    lowest = 0.0 if it < warmup else 0.2
    assert all(lowest - 1e-12 <= rate <= 0.7 + 1e-12 for rate in rates)


@given(st.integers(0, 300), st.integers(0, 100), st.integers(1, 200))
def test_rates_never_rise_after_warm_up(it: int, warmup: int, fall: int) -> None:
    end = warmup + fall
    at = max(it, warmup)
    assert cosine_lr(at + 1, 0.7, 0.2, warmup, end) <= cosine_lr(at, 0.7, 0.2, warmup, end) + 1e-15
    assert wsd_lr(at + 1, 0.7, 0.2, warmup, end, end + 7) <= (
        wsd_lr(at, 0.7, 0.2, warmup, end, end + 7) + 1e-15
    )


def test_empty_fall_goes_from_maximum_to_minimum_in_one_step() -> None:
    assert [cosine_lr(it, 1.0, 0.1, 5, 5) for it in (5, 6)] == [1.0, 0.1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cosine_lr(-1, 1.0, 0.1, 5, 7), "it=-1 must be at least 0"),
        (lambda: cosine_lr(0, 1.0, 0.1, -5, 7), "warmup_iters=-5 must be at least 0"),
        (
            lambda: cosine_lr(0, 1.0, 0.1, 8, 7),
            "cosine_cycle_iters=7 must be at least warmup_iters=8",
        ),
        (lambda: linear_lr(0, 1.0, 0.1, 8, 7), "total_iters=7 must be at least warmup_iters=8"),
        (lambda: cosine_lr(0, 0.1, 1.0, 5, 7), r"min_learning_rate=1.0 must be in \[0, max"),
        (lambda: constant_lr(0, float("nan")), "max_learning_rate=nan"),
        (
            lambda: wsd_lr(0, 1.0, 0.1, 2, 1, 7),
            "decay_start_iters=1 must be at least warmup_iters=2",
        ),
        (
            lambda: wsd_lr(0, 1.0, 0.1, 2, 8, 7),
            "total_iters=7 must be at least decay_start_iters=8",
        ),
        (lambda: wsd_lr(0, 1.0, 0.1, 2, 3, 7, decay=LOG), "decay='log' must be 'linear' or 'sqrt'"),
    ],
)
def test_bad_argument_is_refused_with_both_values(call: Callable[[], float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
