"""Traces of a few steps."""

import dataclasses
import json
from pathlib import Path

import torch
from small_run import run_to, small_config

from trainer.display import Display
from trainer.prepared import PreparedData
from trainer.profiling import SKIPPED, WARM_UP, profiled

CPU = torch.device("cpu")


def products(directory: Path, traced: int, steps: int) -> list[str]:
    """Return the products in a trace of steps, each of which takes one."""
    with profiled(traced, directory, CPU) as end_of_step:
        for _ in range(steps):
            torch.ones(3, 5) @ torch.ones(5, 7)
            end_of_step()
    trace = json.loads((directory / "trace.json").read_text())
    return [e["name"] for e in trace["traceEvents"] if e.get("name") == "aten::mm"]


def test_as_many_steps_are_traced_as_were_asked_for(tmp_path: Path) -> None:
    assert len(products(tmp_path / "profile", 3, 11)) == 3
    assert [path.name for path in (tmp_path / "profile").iterdir()] == ["trace.json"]


def test_a_shorter_run_is_traced_as_far_as_it_goes(tmp_path: Path) -> None:
    assert len(products(tmp_path, 7, SKIPPED + WARM_UP + 2)) == 2


def test_without_steps_nothing_is_traced(tmp_path: Path) -> None:
    with profiled(0, tmp_path / "profile", CPU) as end_of_step:
        end_of_step()
    assert not (tmp_path / "profile").exists()


def test_a_run_leaves_a_trace_of_its_products(
    tmp_path: Path, byte_data: PreparedData, quiet: Display
) -> None:
    run_to(tmp_path, dataclasses.replace(small_config(), profile=1), byte_data, quiet)
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    names = {event.get("name") for event in trace["traceEvents"]}
    assert {"aten::mm", "aten::_foreach_norm"} <= names
