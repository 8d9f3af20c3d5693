"""Running out of memory names what would need less of it, and how much less."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from small_run import small_config
from trainer_jobs import SMALL_JOB, record
from warm_process import WarmPair

from nn import TransformerLM
from nn.accounting import count_memory
from trainer import memory
from trainer.config import TrainConfig
from trainer.devices import autocast
from trainer.loop import build
from trainer.presets import TINYSTORIES

GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_needs_are_those_of_the_accounting() -> None:
    config = dataclasses.replace(small_config(), gradient_accumulation=2)
    assert memory.step_memory(config) == count_memory(config.model, batch_size=3)


def test_several_processes_share_the_activations() -> None:
    config = dataclasses.replace(small_config(), gradient_accumulation=2)
    assert memory.step_memory(config, processes=3) == count_memory(config.model, batch_size=1)


def test_muon_keeps_one_number_for_each_of_its_weights() -> None:
    config = small_config()
    optimizer = dataclasses.replace(config.optimizer, name="muon")
    config = dataclasses.replace(config, optimizer=optimizer)
    model, optimizers = build(config, torch.device("cpu"))
    ids = torch.zeros(2, 5, dtype=torch.int64)
    torch.autograd.backward(model.loss(ids, ids))
    kept = 0
    for each in optimizers:
        each.step()
        tensors = [v for state in each.state.values() for v in state.values()]
        kept += sum(v.nbytes for v in tensors if isinstance(v, torch.Tensor))
    assert memory.step_memory(config)["optimizer"] == kept


def test_half_precision_keeps_as_many_bytes_as_are_counted() -> None:
    shape = dataclasses.replace(
        small_config().model, context_length=61, d_model=96, num_heads=6, d_ff=256
    )
    config = dataclasses.replace(small_config(), model=shape, precision="bf16")
    model, _ = build(config, torch.device("cpu"))
    # Besides the weights' copies, which do not grow with the batch.
    kept = [kept_bytes(model, config, sequences) for sequences in (6, 12)]
    counted = memory.step_memory(config)["activations"]
    assert kept[1] - kept[0] == pytest.approx(counted, rel=0.05)


def kept_bytes(model: TransformerLM, config: TrainConfig, sequences: int) -> int:
    ids = torch.zeros(sequences, config.model.context_length, dtype=torch.int64)
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point():
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        autocast(config.precision, torch.device("cpu")),
    ):
        model.loss(ids, ids)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def savings(config: TrainConfig) -> dict[str, str]:
    return dict(re.findall(r"(--[a-z-]+(?: \w+)?) saves ([\d.,]+ [GM]B)", memory.explain(config)))


def test_every_knob_is_named_with_what_it_saves() -> None:
    config = dataclasses.replace(TINYSTORIES, precision="fp32")
    found = savings(config)
    assert list(found) == [
        "--gradient-accumulation 2",
        "--batch-size 64",
        "--activation-checkpointing",
        "--precision bf16",
    ]
    half = count_memory(config.model, batch_size=128)["activations"] / 2
    assert found["--batch-size 64"] == f"{half / 1e9:.2f} GB"
    again = count_memory(config.model, batch_size=128, checkpointing=True)["activations"]
    assert found["--activation-checkpointing"] == f"{(2 * half - again) / 1e9:.2f} GB"


def test_what_has_been_done_is_not_named() -> None:
    config = dataclasses.replace(
        TINYSTORIES, gradient_accumulation=128, activation_checkpointing=True
    )
    assert not savings(config)
    assert "only a smaller model" in memory.explain(config)


@pytest.mark.parametrize("batch_size", [6, 30, 7, 96])
@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_named_can_be_done(batch_size: int, parts: int, processes: int) -> None:
    if batch_size % (parts * processes):
        batch_size *= parts * processes
    config = dataclasses.replace(small_config(), batch_size=batch_size, gradient_accumulation=parts)
    for _, other in memory._thriftier(config, processes):
        assert other.batch_size % (other.gradient_accumulation * processes) == 0
        needs = [sum(memory.step_memory(c, processes).values()) for c in (config, other)]
        assert needs[1] < needs[0]


@pytest.mark.parametrize("error", [GPU, MemoryError()])
def test_running_out_of_memory_is_explained(error: BaseException) -> None:
    with (
        pytest.raises(MemoryError, match=r"^out of memory: a step needs about .*--batch-size 3 "),
        memory.explained(small_config()),
    ):
        raise error


def test_other_errors_pass_as_they_are() -> None:
    error = RuntimeError("a mistake")
    with pytest.raises(RuntimeError) as caught, memory.explained(small_config()):
        raise error
    assert caught.value is error


def test_run_that_needs_too_much_ends_with_what_would_save_some(
    warm: WarmPair, finished_run: Path, tmp_path: Path
) -> None:
    """65,536 sequences need 2 GB; what two need is there."""
    calls = []
    for name, batch_size in (("starved", 65536), ("fed", 2)):
        (tmp_path / name).mkdir()
        flags = ["--run-dir=run", f"--batch-size={batch_size}", f"--data.cache={tmp_path / 'data'}"]
        flags = [*SMALL_JOB, "--max-steps=1", *flags]
        calls.append({"directory": str(tmp_path / name), "flags": flags, "spare": 10**9})
    (status, errors), (fed, _) = warm.call("starved.train_starved", *calls)
    assert (status, fed) == (4, 0), errors
    assert re.fullmatch(
        r"train: out of memory: a step needs about [\d.]+ GB \(parameters .*\)\. Of that, "
        r"--gradient-accumulation 2 saves .*; --batch-size 32768 saves .*; "
        r"--activation-checkpointing saves .*; --precision bf16 saves [\d.]+ [GM]B\n",
        errors,
    )
    assert "MemoryError" in record(tmp_path / "starved" / "run")["exit"]
