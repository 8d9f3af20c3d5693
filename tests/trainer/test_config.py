import dataclasses
from pathlib import Path
from typing import Any

import pytest

from trainer.config import (
    DataConfig,
    EvalConfig,
    OptimizerConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from trainer.settings import flatten, to_mapping


@pytest.mark.parametrize(
    ("kind", "setting", "value", "message"),
    [
        (DataConfig, "vocab_size", 256, "data.vocab_size=256 is below 257"),
        (DataConfig, "val_fraction", 1.0, "data.val_fraction=1.0"),
        (DataConfig, "max_val_bytes", 0, "data.max_val_bytes=0 is not positive"),
        (DataConfig, "stories_bytes", -1, "data.stories_bytes=-1 is negative"),
        (DataConfig, "special_token", "", "data.special_token=''"),
        (OptimizerConfig, "lr", 0.0, "optimizer.lr=0.0 is not positive"),
        (OptimizerConfig, "betas", (0.9, 1.0), r"optimizer.betas\[1\]=1.0"),
        (OptimizerConfig, "weight_decay", -0.1, "optimizer.weight_decay=-0.1"),
        (ScheduleConfig, "warmup_steps", -1, "schedule.warmup_steps=-1"),
        (ScheduleConfig, "min_lr_ratio", 1.5, "schedule.min_lr_ratio=1.5"),
        (EvalConfig, "every", 0, "eval.every=0 is not positive"),
        (SampleConfig, "temperature", -1.0, "sample.temperature=-1.0"),
        (SampleConfig, "top_p", 0.0, "sample.top_p=0.0"),
        (TrainConfig, "max_steps", 0, "max_steps=0 is not positive"),
        (TrainConfig, "seed", -1, "seed=-1 is negative"),
    ],
)
def test_setting_out_of_range_is_named_with_its_value(
    kind: type[Any], setting: str, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**{setting: value})


def test_batch_must_divide_into_its_parts() -> None:
    with pytest.raises(
        ValueError, match="batch_size=7 is not divisible by gradient_accumulation=3"
    ):
        TrainConfig(batch_size=7, gradient_accumulation=3)


def test_mapping_holds_plain_data_only() -> None:
    config = TrainConfig(run_dir=Path("a/b"), data=DataConfig(corpus=(Path("c.txt"),)))
    leaves = dict(flatten(to_mapping(config)))
    assert leaves["run_dir"] == "a/b"
    assert leaves["data.corpus"] == ["c.txt"]
    assert leaves["optimizer.betas"] == [0.9, 0.95]


def test_mapping_has_every_setting() -> None:
    leaves = {key for key, _ in flatten(to_mapping(TrainConfig()))}
    for entry in dataclasses.fields(TrainConfig):
        assert any(key.partition(".")[0] == entry.name for key in leaves)


def test_tokens_per_step_count_all_sequences() -> None:
    config = TrainConfig(batch_size=6, gradient_accumulation=3)
    assert config.tokens_per_step == 6 * config.model.context_length
