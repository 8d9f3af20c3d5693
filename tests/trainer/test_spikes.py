"""Which steps stand out from those before."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_run import cut_after, rows, run_to, timeless, weights

from trainer import checkpoints, spikes
from trainer.config import CheckpointConfig, TrainConfig
from trainer.display import Display
from trainer.prepared import PreparedData
from trainer.spikes import LEAST, WINDOW, SpikeFilter


def filled(sigma: float, steps: int = WINDOW) -> SpikeFilter:
    """Losses of 2.9 and 3.1 and norms of 0.9 and 1.1, in turn: their deviation is 0.1."""
    found = SpikeFilter(sigma)
    for step in range(steps):
        found.is_spike(3.0 + 0.1 * (-1) ** step, 1.0 + 0.1 * (-1) ** step)
    return found


@pytest.mark.parametrize(
    ("loss", "grad_norm", "spike"),
    [
        (3.49, 1.0, False),
        (3.51, 1.0, True),
        (3.0, 1.49, False),
        (3.0, 1.51, True),
        (1.0, 0.1, False),
    ],
)
def test_a_step_above_so_many_deviations_is_a_spike(
    loss: float, grad_norm: float, spike: bool
) -> None:
    assert filled(5.0).is_spike(loss, grad_norm) == spike


def test_nothing_is_a_spike_before_enough_steps() -> None:
    early, late = filled(5.0, LEAST - 1), filled(5.0, LEAST)
    assert (early.is_spike(99.0, 1.0), late.is_spike(99.0, 1.0)) == (False, True)


def test_sigma_zero_finds_nothing_and_remembers_nothing() -> None:
    off = filled(0.0)
    assert not off.is_spike(99.0, 99.0)
    assert off.state == (0, [])


def test_numbers_that_are_not_finite_are_somebody_elses_matter() -> None:
    found = filled(5.0)
    before = list(found.recent)
    assert not found.is_spike(math.inf, 1.0)
    assert not found.is_spike(3.0, math.nan)
    assert found.recent == before


def test_a_loss_that_stays_high_is_no_spike_for_ever() -> None:
    found = filled(5.0)
    spikes = [found.is_spike(30.0, 1.0) for _ in range(WINDOW)]
    assert spikes[0]
    assert not any(spikes[WINDOW // 2 :])
    assert found.count == sum(spikes)


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=70, max_size=200),
    st.integers(0, 200),
)
def test_what_is_found_depends_on_the_state_alone(
    steps: list[tuple[float, float]], cut: int
) -> None:
    whole, first = SpikeFilter(2.0), SpikeFilter(2.0)
    expected = [whole.is_spike(*pair) for pair in steps]
    found = [first.is_spike(*pair) for pair in steps[:cut]]
    second = SpikeFilter(2.0, *first.state)
    found += [second.is_spike(*pair) for pair in steps[cut:]]
    assert (found, second.count) == (expected, whole.count)
    assert len(second.recent) <= WINDOW


@pytest.fixture
def jumpy(small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """A run that takes much for a spike: it looks back on five steps, and three are enough."""
    monkeypatch.setattr(spikes, "LEAST", 3)
    monkeypatch.setattr(spikes, "WINDOW", 5)
    keep = CheckpointConfig(every=1, keep=20)
    return dataclasses.replace(small_config, max_steps=13, skip_spikes=0.5, checkpoint=keep)


def test_the_update_of_a_spike_is_left_out_and_counted(
    tmp_path: Path, jumpy: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, jumpy, byte_data, quiet)
    counts = [row.get("spikes", 0) for row in rows(tmp_path)]
    saved = [
        load_file(p / "model.safetensors") for p in checkpoints.steps(tmp_path / "checkpoints")
    ]
    assert 0 < counts[-1] < 10
    for step in range(1, 13):
        same = [torch.equal(saved[step - 1][name], saved[step][name]) for name in saved[step]]
        assert all(same) == any(same) == (counts[step] > counts[step - 1])


@pytest.mark.parametrize("cut", [4, 11])
def test_a_run_that_skips_spikes_goes_on_bit_by_bit(
    tmp_path: Path, jumpy: TrainConfig, byte_data: PreparedData, quiet: Display, cut: int
) -> None:
    for name in ("whole", "cut"):
        run_to(tmp_path / name, jumpy, byte_data, quiet)
    cut_after(tmp_path / "cut", cut)
    run_to(tmp_path / "cut", jumpy, byte_data, quiet, resume=True)
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
