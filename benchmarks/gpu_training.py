"""Train one variant of the model for some steps and print what it took, as one line of JSON.

A process for each, so that compilers, caches and peak memory start from nothing; `gpu.py` starts
them. A step is the whole of it: forward, backward, clipping, the optimizer, zeroed gradients. Token
ids follow Zipf's law, as in text: rows of the embeddings are hit as unevenly as they would be.
"""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_layers import TorchLM

from nn import ModelConfig, TransformerLM
from optim import AdamW, clip_grad_norm

TINYSTORIES = ModelConfig(
    vocab_size=10_000, context_length=256, d_model=512, d_ff=1344, num_layers=4, num_heads=16
)
TINY = ModelConfig(
    vocab_size=211, context_length=32, d_model=64, d_ff=96, num_layers=2, num_heads=4
)
LR, BETAS, DECAY, MAX_NORM = 1e-3, (0.9, 0.95), 0.1, 1.0


class MasterWeights:
    """Update bfloat16 weights through float32 copies, which alone the optimizer sees."""

    def __init__(self, model: Module) -> None:
        self.weights: list[Tensor] = list(model.parameters())
        self.masters = [weight.detach().float().requires_grad_() for weight in self.weights]

    @torch.no_grad()
    def step(self, step: Callable[[list[Tensor]], None]) -> None:
        """Move gradients to the copies, let `step` update them, and round the result back."""
        for master, weight in zip(self.masters, self.weights, strict=True):
            assert weight.grad is not None
            master.grad = weight.grad.float()
        step(self.masters)
        torch._foreach_copy_(self.weights, self.masters)


def build(options: argparse.Namespace, config: ModelConfig) -> tuple[Module, Callable[[], None]]:
    """Return the model, and what updates it once its gradients are there."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    model: Module
    if options.model == "ours":
        model = TransformerLM(config, generator=torch.Generator().manual_seed(0))
    else:
        model = TorchLM(config)
    model.to(device)
    masters = None
    if options.weights == "bfloat16":
        masters = MasterWeights(model)
        model.to(low_precision(device))
    parameters: list[Tensor] = list(model.parameters()) if masters is None else masters.masters
    optimizer: Any
    if options.model == "ours":
        optimizer = AdamW(parameters, lr=LR, betas=BETAS, weight_decay=DECAY)
        clip: Callable[..., Tensor] = clip_grad_norm
    else:
        optimizer = torch.optim.AdamW(
            parameters, lr=LR, betas=BETAS, weight_decay=DECAY, fused=True
        )
        clip = torch.nn.utils.clip_grad_norm_

    def clip_and_step(parameters: list[Tensor]) -> None:
        clip(parameters, MAX_NORM)
        optimizer.step()

    def update() -> None:
        if masters is None:
            clip_and_step(parameters)
        else:
            masters.step(clip_and_step)
        for parameter in model.parameters():
            parameter.grad = None

    return model, update


def draw_batches(
    config: ModelConfig, batch_size: int, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Return a few batches of inputs and targets; the k-th token comes with weight 1 / (k + 10)."""
    weights = 1.0 / torch.arange(10, config.vocab_size + 10, device=device)
    shape = (8, batch_size, config.context_length + 1)
    ids = torch.multinomial(weights, 8 * shape[1] * shape[2], replacement=True).view(shape)
    return [(part[:, :-1].contiguous(), part[:, 1:].contiguous()) for part in ids]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train, and return tokens per second (median of windows), peak bytes, and the losses."""
    config = TINY if options.tiny else TINYSTORIES
    device = torch.device(options.device)
    model, update = build(options, config)
    compute: Callable[[Tensor, Tensor], Tensor] = model.loss  # type: ignore[assignment]
    if options.compile != "off":
        mode = None if options.compile == "default" else options.compile
        backend = {"backend": options.backend} if options.backend else {"mode": mode}
        compute = torch.compile(compute, fullgraph=True, dynamic=False, **backend)
    batches = draw_batches(config, options.batch_size, device)

    def precision() -> AbstractContextManager[None]:
        dtype = low_precision(device)
        enabled = options.weights == "float32" and dtype == torch.bfloat16
        return torch.autocast(device.type, dtype=dtype, enabled=enabled)

    def step(index: int) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with precision():
            loss = compute(*batches[index % len(batches)])
        loss.backward()  # type: ignore[no-untyped-call]
        update()
        return loss.detach().clone()

    begun = time.perf_counter()
    first = step(0).item()
    ready = time.perf_counter() - begun
    for index in range(1, options.warmup):
        step(index)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for window in range(options.windows):
        synchronize(device)
        begun = time.perf_counter()
        for index in range(options.steps):
            last = step(window * options.steps + index)
        synchronize(device)
        seconds.append(time.perf_counter() - begun)
    tokens = options.steps * options.batch_size * config.context_length
    return {
        "tokens_per_second": tokens / median(seconds),
        "spread": (max(seconds) - min(seconds)) / median(seconds),
        "peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
        "seconds_to_first_step": ready,
        "first_loss": first,
        "last_loss": last.item(),
    }


def low_precision(device: torch.device) -> torch.dtype:
    """Return the dtype of products; Triton's interpreter, on the CPU, does not do bfloat16's."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Read the variant from the command line and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--model", choices=("ours", "torch"), required=True)
    parser.add_argument("--compile", default="off", help="off, default, or a mode of torch.compile")
    parser.add_argument(
        "--backend", default="", help="a backend of torch.compile other than its own"
    )
    parser.add_argument("--weights", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--windows", type=int, default=5)
    torch.set_float32_matmul_precision("high")
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
