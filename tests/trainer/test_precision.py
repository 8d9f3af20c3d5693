"""Precisions below float32: what they change, what they leave, and how such runs go on."""

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch
from small_run import cut_after, rows, run_to, timeless, weights

from trainer import loss_scaler
from trainer.config import TrainConfig
from trainer.devices import autocast, check_precision, float32_products
from trainer.display import Display
from trainer.prepared import PreparedData

CPU = torch.device("cpu")


@pytest.fixture
def half(small_config: TrainConfig) -> TrainConfig:
    checkpoint = dataclasses.replace(small_config.checkpoint, keep=20)
    return dataclasses.replace(small_config, precision="fp16", checkpoint=checkpoint)


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale that is too large at first, falls for some steps, and then often grows again."""
    monkeypatch.setattr(loss_scaler, "FIRST_SCALE", 2.0**22)
    monkeypatch.setattr(loss_scaler, "GROWTH_INTERVAL", 2)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_products_are_taken_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    with autocast(precision, CPU):
        assert (torch.ones(3, 5) @ torch.ones(5, 7)).dtype == dtype


def test_float16_learns_much_the_same(
    tmp_path: Path,
    small_config: TrainConfig,
    half: TrainConfig,
    byte_data: PreparedData,
    quiet: Display,
) -> None:
    run_to(tmp_path / "full", small_config, byte_data, quiet)
    run_to(tmp_path / "half", half, byte_data, quiet)
    full, halved = rows(tmp_path / "full"), rows(tmp_path / "half")
    assert full[-1]["train_loss"] != halved[-1]["train_loss"]
    for a, b in zip(full, halved, strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-3)
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-2)
        assert b["loss_scale"] == loss_scaler.FIRST_SCALE


def test_weights_stay_in_float32_under_float16(
    tmp_path: Path, half: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, dataclasses.replace(half, max_steps=2), byte_data, quiet)
    assert {tensor.dtype for tensor in weights(tmp_path).values()} == {torch.float32}


@pytest.mark.usefixtures("restless")
def test_steps_that_overflow_are_left_out_until_the_scale_fits(
    tmp_path: Path, half: TrainConfig, byte_data: PreparedData, quiet: Display
) -> None:
    config = dataclasses.replace(half, max_steps=20)
    run_to(tmp_path, config, byte_data, quiet)
    scales = [row["loss_scale"] for row in rows(tmp_path)]
    assert scales[0] == 2.0**21
    assert any(b > a for a, b in itertools.pairwise(scales))
    assert rows(tmp_path)[-1]["train_loss"] < rows(tmp_path)[0]["train_loss"] - 0.3


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("cut", [2, 6])
def test_float16_goes_on_bit_by_bit(
    tmp_path: Path, half: TrainConfig, byte_data: PreparedData, quiet: Display, cut: int
) -> None:
    for name in ("whole", "cut"):
        run_to(tmp_path / name, half, byte_data, quiet)
    cut_after(tmp_path / "cut", cut)
    run_to(tmp_path / "cut", half, byte_data, quiet, resume=True)
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_tf32_is_for_nvidia_gpus_alone(device: str) -> None:
    line = rf"^precision='tf32' needs an NVIDIA GPU of the year 2020 or later, not {device}: use"
    with pytest.raises(ValueError, match=line):
        check_precision("tf32", torch.device(device))


@pytest.mark.parametrize(
    ("precision", "expected"), [("tf32", "high"), ("fp32", "highest"), ("bf16", "highest")]
)
def test_tf32_is_allowed_within_its_run_alone(precision: str, expected: str) -> None:
    with float32_products(precision):
        assert torch.get_float32_matmul_precision() == expected
    assert torch.get_float32_matmul_precision() == "highest"
