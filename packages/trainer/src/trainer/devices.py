"""Where a run computes, in which precision, and whether its model is compiled."""

from contextlib import AbstractContextManager

import torch

from nn import ModelConfig
from nn.accounting import count_backward_flops, count_forward_flops

# Peak bf16 products per second of GPUs, from their data sheets (dense), by a part of the name.
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


def should_compile(choice: str, device: torch.device) -> bool:
    """Say whether to compile: on request, and by default on CUDA alone.

    On a CPU compiling takes longer than it saves in a run of minutes, and it needs a C++ compiler.
    """
    return choice == "on" or (choice == "auto" and device.type == "cuda")


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which products are taken in `precision`."""
    context: AbstractContextManager[None] = torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bf16"
    )
    return context


def flops_utilization(
    tokens_per_second: float, model: ModelConfig, device: torch.device, precision: str
) -> float | None:
    """Return the share of the device's peak that the model's own products use, where it is known.

    Counted are the products of a forward and a backward pass, whatever else is computed (Chowdhery
    et al. 2022, appendix B).
    """
    if device.type != "cuda" or precision != "bf16":
        return None
    name = torch.cuda.get_device_name(device)
    peak = next((peak for part, peak in PEAK_BF16_FLOPS if part in name), None)
    if peak is None:
        return None
    per_token = sum(count_forward_flops(model).values()) + sum(count_backward_flops(model).values())
    return tokens_per_second * per_token / peak
