"""Where a run computes, in which precision, and whether its model is compiled."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from nn import ModelConfig
from nn.accounting import count_backward_flops, count_forward_flops

# Peak products of bf16 or fp16 per second of GPUs, from their data sheets (dense), by a part of
# the name.
PEAK_BF16_FLOPS = (
    ("B200", 2250e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("4090", 165e12),
    ("3090", 71e12),
)


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is CUDA where there is a GPU for it, else the CPU.

    Raises ValueError with one line if the machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda' is not available: torch finds no GPU; use --device cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' is not available on this machine; use --device cpu")
    return torch.device(name)


def check_precision(precision: str, device: torch.device) -> None:
    """Raise ValueError where products cannot be taken in `precision`."""
    if precision != "tf32":
        return
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        raise ValueError(
            f"precision='tf32' needs an NVIDIA GPU of the year 2020 or later, not {device}: "
            f"use --precision fp32 or bf16"
        )


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Let products of float32 be taken in TF32 within the block if that is the precision."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def should_compile(choice: str, device: torch.device) -> bool:
    """Say whether to compile: on request, and by default on CUDA alone.

    On a CPU compiling takes longer than it saves in a run of minutes, and it needs a C++ compiler.
    """
    return choice == "on" or (choice == "auto" and device.type == "cuda")


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which products are taken in `precision`, if it is a half one."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    context: AbstractContextManager[None] = torch.autocast(
        device.type, dtype=dtype, enabled=precision in ("bf16", "fp16")
    )
    return context


def flops_utilization(
    tokens_per_second: float, model: ModelConfig, device: torch.device, precision: str
) -> float | None:
    """Return the share of the device's peak that the model's own products use, where it is known.

    Counted are the products of a forward and a backward pass, whatever else is computed (Chowdhery
    et al. 2022, appendix B).
    """
    if device.type != "cuda" or precision not in ("bf16", "fp16"):
        return None
    name = torch.cuda.get_device_name(device)
    peak = next((peak for part, peak in PEAK_BF16_FLOPS if part in name), None)
    if peak is None:
        return None
    per_token = sum(count_forward_flops(model).values()) + sum(count_backward_flops(model).values())
    return tokens_per_second * per_token / peak
