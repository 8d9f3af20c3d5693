"""Checkpoints in one file through the adapters, with torch's own model and optimizer."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import get_adamw_cls, run_load_checkpoint, run_save_checkpoint
from torch.nn import Linear, Module, Sequential
from torch.optim import Optimizer


def network() -> Module:
    return Sequential(Linear(5, 7), Linear(7, 3))


def optimizer(model: Module) -> Optimizer:
    kind: Any = get_adamw_cls()
    made: Optimizer = kind(
        model.parameters(), lr=1e-2, betas=(0.9, 0.97), eps=1e-8, weight_decay=0.1
    )
    return made


def train(model: Module, by: Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    for _ in range(steps):
        by.zero_grad()
        model(torch.randn(11, 5, generator=generator)).square().mean().backward()
        by.step()


def to_path(tmp_path: Path) -> Any:
    return tmp_path / "checkpoint.pt"


def to_text_path(tmp_path: Path) -> Any:
    return str(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("place", [to_path, to_text_path])
def test_weights_and_iteration_come_back(tmp_path: Path, place: Callable[[Path], Any]) -> None:
    model = network()
    by = optimizer(model)
    train(model, by, 3)
    run_save_checkpoint(model, by, 13, place(tmp_path))
    other = network()
    assert run_load_checkpoint(place(tmp_path), other, optimizer(other)) == 13
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_training_goes_on_as_if_it_had_not_stopped() -> None:
    model = network()
    by = optimizer(model)
    train(model, by, 3)
    file = io.BytesIO()
    run_save_checkpoint(model, by, 3, file)
    train(model, by, 5)
    other = network()
    other_by = optimizer(other)
    file.seek(0)
    run_load_checkpoint(file, other, other_by)
    train(other, other_by, 5)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_optimizer_of_torch_is_taken_too() -> None:
    model = network()
    by = torch.optim.AdamW(model.parameters())
    train(model, by, 3)
    file = io.BytesIO()
    run_save_checkpoint(model, by, 3, file)
    file.seek(0)
    other = network()
    other_by = torch.optim.AdamW(other.parameters())
    run_load_checkpoint(file, other, other_by)
    before, after = by.state_dict()["state"], other_by.state_dict()["state"]
    assert all(torch.equal(before[i]["exp_avg"], after[i]["exp_avg"]) for i in before)


def test_file_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    path = tmp_path / "trap.pt"
    torch.save({"model": Trap(), "optimizer": {}, "iteration": 1}, path)
    model = network()
    with pytest.raises(ValueError, match=r"disallowed object .* at trap/model"):
        run_load_checkpoint(path, model, optimizer(model))
    assert not (tmp_path / "sprung").exists()


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    model = network()
    with pytest.raises(ValueError, match="not a checkpoint"):
        run_load_checkpoint(path, model, optimizer(model))
