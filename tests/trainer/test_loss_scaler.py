"""The scale of losses in float16: when it moves, and whose fault an overflow is."""

import math

import pytest
import torch
from torch.nn import Parameter

from trainer.loss_scaler import FIRST_SCALE, GROWTH_INTERVAL, LossScaler


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_other_precisions_are_left_alone(precision: str) -> None:
    scaler = LossScaler(precision)
    assert (scaler.scale, scaler.state) == (1.0, (0.0, 0))
    assert not scaler.overflowed(2.0, math.inf)


def test_gradients_are_divided_by_the_scale_exactly() -> None:
    weight = Parameter(torch.zeros(7))
    true = torch.randn(7)
    scaler = LossScaler("fp16")
    weight.grad = true * scaler.scale
    assert scaler.unscale([weight, Parameter(torch.zeros(3))], 5.0 * scaler.scale) == 5.0
    assert torch.equal(weight.grad, true)


def test_an_overflow_halves_the_scale() -> None:
    scaler = LossScaler("fp16")
    assert scaler.overflowed(2.0, math.inf)
    assert scaler.overflowed(2.0, math.nan)
    assert scaler.scale == FIRST_SCALE / 4


def test_the_scale_doubles_after_enough_good_steps_in_a_row() -> None:
    scaler = LossScaler("fp16", 8.0, GROWTH_INTERVAL - 2)
    scaler.overflowed(2.0, 1.0)
    assert scaler.scale == 8.0
    scaler.overflowed(2.0, 1.0)
    assert (scaler.scale, scaler.good_steps) == (16.0, 0)


def test_an_overflow_begins_the_count_again() -> None:
    scaler = LossScaler("fp16", 8.0, GROWTH_INTERVAL - 1)
    scaler.overflowed(2.0, math.inf)
    scaler.overflowed(2.0, 1.0)
    assert (scaler.scale, scaler.good_steps) == (4.0, 1)


@pytest.mark.parametrize(("loss", "scale"), [(math.nan, 8.0), (math.inf, 8.0), (2.0, 1.0)])
def test_what_no_smaller_scale_can_mend_is_no_overflow(loss: float, scale: float) -> None:
    scaler = LossScaler("fp16", scale, 3)
    assert not scaler.overflowed(loss, math.nan)
    assert (scaler.scale, scaler.good_steps) == (scale, 3)
