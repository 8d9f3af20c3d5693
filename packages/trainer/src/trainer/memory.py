"""What a step needs of memory, and what would make it need less, when there is not enough."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nn.accounting import count_activations, count_memory, count_parameters
from trainer.config import TrainConfig

# How torch's allocator for the CPU says it: it has no exception of its own.
CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"


@contextmanager
def explained(config: TrainConfig, processes: int = 1) -> Iterator[None]:
    """Turn running out of memory in the block into a MemoryError that names what saves some."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(explain(config, processes)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether Python, numpy or torch, on a CPU or a GPU, could not get memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error)


def step_memory(config: TrainConfig, processes: int = 1) -> dict[str, int]:
    """Count the bytes that a step holds at its peak on each of several devices, by `nn.accounting`.

    Muon keeps one number per weight of a matrix where AdamW keeps two. In half precision what
    products keep takes half; the stream and its norms stay in float32.
    """
    needs = count_memory(
        config.model,
        batch_size=config.batch_size // config.gradient_accumulation // processes,
        checkpointing=config.activation_checkpointing,
    )
    if config.optimizer.name == "muon":
        weights = count_parameters(config.model)
        needs["optimizer"] -= 4 * (weights["attention_projections"] + weights["ffn"])
    if config.precision in ("bf16", "fp16"):
        kept = count_activations(config.model, checkpointing=config.activation_checkpointing)
        products = sum(kept.values()) - kept["norms"]
        needs["activations"] -= needs["activations"] * products // (2 * sum(kept.values()))
    return needs


def explain(config: TrainConfig, processes: int = 1) -> str:
    """Say in one line what a step needs and what each setting would save of it."""
    needs = step_memory(config, processes)
    parts = ", ".join(f"{name} {_gigabytes(size)}" for name, size in needs.items())
    whole = sum(needs.values())
    savings = [
        f"{flag} saves {_gigabytes(whole - sum(step_memory(other, processes).values()))}"
        for flag, other in _thriftier(config, processes)
    ]
    hint = "; ".join(savings) or "only a smaller model or --model.context-length would need less"
    return f"out of memory: a step needs about {_gigabytes(whole)} ({parts}). Of that, {hint}"


def _thriftier(config: TrainConfig, processes: int) -> Iterator[tuple[str, TrainConfig]]:
    """Yield flags, each with the configuration that it makes of this one."""
    batch, parts = config.batch_size, config.gradient_accumulation
    at_once = batch // parts // processes
    if at_once > 1:
        more = next(n for n in range(parts + 1, batch + 1) if batch % (n * processes) == 0)
        fewer = at_once // 2 * parts * processes
        yield f"--gradient-accumulation {more}", _with(config, gradient_accumulation=more)
        yield f"--batch-size {fewer}", _with(config, batch_size=fewer)
    if not config.activation_checkpointing:
        yield "--activation-checkpointing", _with(config, activation_checkpointing=True)
    if config.precision in ("fp32", "tf32"):
        yield "--precision bf16", _with(config, precision="bf16")


def _with(config: TrainConfig, **changes: object) -> TrainConfig:
    changed: TrainConfig = dataclasses.replace(config, **changes)  # type: ignore[arg-type]
    return changed


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
