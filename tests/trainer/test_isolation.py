"""Documents that share a window are kept apart: in training, in evaluation, and over a resume."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import byte_data, cut_after, rows, run_to, timeless, weights

from nn import TransformerLM
from trainer.batches import SequenceSampler, gather_windows
from trainer.config import TrainConfig
from trainer.display import Display
from trainer.evaluation import evaluate, fixed_windows
from trainer.isolation import isolation
from trainer.loop import build
from trainer.prepared import PreparedData
from trainer.run_directory import RunDirectory, different_settings

CPU = torch.device("cpu")
SEPARATOR = 0


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    """Documents of 5 tokens: each window of 17 holds several."""
    (tmp_path / "data").mkdir()
    whole = byte_data(tmp_path / "data")
    text = np.where(np.arange(len(whole.train)) % 5 == 3, SEPARATOR, whole.train)
    tokens = text.astype(np.uint16)
    return dataclasses.replace(whole, train=tokens, valid=tokens[:189])


@pytest.fixture
def config(small_config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(
        small_config, data=dataclasses.replace(small_config.data, isolate_documents=True)
    )


def test_documents_are_packed_by_default() -> None:
    assert not TrainConfig().data.isolate_documents


def test_training_keeps_documents_apart(
    tmp_path: Path, config: TrainConfig, data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path / "run", dataclasses.replace(config, gradient_accumulation=2), data, quiet)
    model, _ = build(config, CPU)
    starts = SequenceSampler(config.seed, len(data.train), 17, config.batch_size).starts(1)
    inputs, targets = gather_windows(data.train, starts, 17, CPU)
    with torch.no_grad():
        apart = model.loss(inputs, targets, **isolation(inputs, SEPARATOR)).item()
        packed = model.loss(inputs, targets).item()
    assert rows(tmp_path / "run")[0]["train_loss"] == pytest.approx(apart, rel=1e-6)
    assert abs(packed - apart) > 1e-4


def test_evaluation_keeps_documents_apart(
    tmp_path: Path, config: TrainConfig, data: PreparedData, quiet: Display
) -> None:
    found = run_to(tmp_path / "run", config, data, quiet).val_loss
    model = TransformerLM.load(tmp_path / "run" / "model")
    windows = fixed_windows(len(data.valid), 17)
    apart, packed = (
        evaluate(model, data.valid, windows, batch_size=5, device=CPU, isolated_by=separator)
        for separator in (SEPARATOR, None)
    )
    assert found == pytest.approx(apart, rel=1e-6)
    assert abs(packed - apart) > 1e-4


def test_a_run_that_was_cut_goes_on_alike(
    tmp_path: Path, config: TrainConfig, data: PreparedData, quiet: Display
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_to(whole, config, data, quiet)
    run_to(cut, config, data, quiet)
    cut_after(cut, 4)
    run_to(cut, config, data, quiet, resume=True)
    assert timeless(cut) == timeless(whole)
    ours, expected = weights(cut), weights(whole)
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_a_run_goes_on_only_as_it_was_begun(
    tmp_path: Path, config: TrainConfig, small_config: TrainConfig
) -> None:
    run = RunDirectory(tmp_path)
    run.write_config(config)
    assert different_settings(run, small_config) == [
        "data.isolate_documents=True there and False here"
    ]


def test_text_without_separators_is_refused(config: TrainConfig, data: PreparedData) -> None:
    plain = dataclasses.replace(data, train=data.train[data.train != SEPARATOR])
    with pytest.raises(ValueError, match=r"isolate_documents has no effect: no <\|endoftext\|>"):
        plain.check_documents(config.data)


def test_a_tokenizer_without_the_separator_is_refused(
    config: TrainConfig, data: PreparedData
) -> None:
    other = dataclasses.replace(config.data, special_token="<|end|>")
    with pytest.raises(ValueError, match=r"isolate_documents needs data.special_token='<\|end\|>'"):
        data.isolating_separator(other)
