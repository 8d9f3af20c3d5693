"""What `training.py` has measured in fresh processes; prints one line of JSON.

steps      whole steps of one contender, one for each line that comes, and at the end its peak
optimizer  the update alone, on the weights of the 17M model
functions  each function forward and backward, ours and torch's
"""

import argparse
import json
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
import training_models
from torch import Tensor
from torch_layers import rotate

from nn import ModelConfig
from nn.fused.attention import cpu_causal_attention
from nn.fused.cross_entropy import cpu_cross_entropy, cpu_linear_cross_entropy
from nn.fused.rms_norm import cpu_rms_norm
from nn.fused.rope import cpu_rope
from nn.fused.swiglu import cpu_silu_product
from optim import AdamW

# Enough for the compiler to have finished, and for memory to be in its places.
WARM_UP = 2


def in_turn(
    contenders: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Call each once a round, A B C A B C; return the median seconds of each.

    One that fails at its first call is told of, and left out.
    """
    ready = {}
    for name, call in contenders.items():
        begun = time.perf_counter()
        try:
            call()
        except Exception:  # Whatever a compiler may raise: the others are still worth measuring.
            traceback.print_exc()
            continue
        ready[name] = call
        print(f"  {name}: first call {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in ready}
    for index in range(1, WARM_UP + rounds):
        for name, call in ready.items():
            begun = clock()
            call()
            if index >= WARM_UP:
                seconds[name].append(clock() - begun)
    return {name: median(times) for name, times in seconds.items()}


def shape(options: argparse.Namespace) -> ModelConfig:
    """Return the model that the options name."""
    return replace(training_models.SIZES[options.size], context_length=options.context)


def steps(options: argparse.Namespace, clock: Callable[[], float]) -> float:
    """Print the seconds of a step for each line that comes; return the memory needed, in bytes.

    That is the peak of this process, without what it had before there was a model.
    """
    config = shape(options)
    batch = training_models.draw_batch(config, options.batch_size)
    before = peak_memory()
    contender = training_models.build(options.contender, config)
    for _ in range(WARM_UP + 1):
        contender.step(*batch)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = clock()
        contender.step(*batch)
        print(clock() - begun, flush=True)
    return peak_memory() - before


def peak_memory() -> float:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def optimizer(options: argparse.Namespace, clock: Callable[[], float]) -> dict[str, float]:
    """Return the seconds of an update by ours and by torch's."""
    shapes = [
        weight.shape for weight in training_models.build("ours, eager", shape(options)).parameters
    ]

    def stepper(make: Callable[..., Any], **choices: Any) -> Callable[[], Any]:
        weights = [torch.randn(shape, requires_grad=True) for shape in shapes]
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        update: Callable[[], Any] = make(weights, lr=1e-3, weight_decay=0.1, **choices).step
        return update

    return in_turn(
        {
            "ours": stepper(AdamW),
            "ours, fused": stepper(AdamW, fused=True),
            "torch, foreach": stepper(torch.optim.AdamW, foreach=True),
            "torch, fused": stepper(torch.optim.AdamW, fused=True),
        },
        4 * options.rounds,
        clock,
    )


def functions(
    options: argparse.Namespace, clock: Callable[[], float]
) -> dict[str, dict[str, float]]:
    """Return the seconds of each function and its gradients, in the shapes of the model."""
    config = shape(options)
    batch, seq, heads, d = (
        options.batch_size,
        config.context_length,
        config.num_heads,
        config.d_head,
    )
    tokens, d_model, vocab_size = batch * seq, config.d_model, config.vocab_size
    positions = torch.outer(torch.arange(seq), torch.rand(d // 2))
    cos, sin = positions.cos(), positions.sin()
    targets = torch.randint(vocab_size, (tokens,))

    def leaf(*sizes: int) -> Tensor:
        return torch.randn(sizes, requires_grad=True)

    def by_head() -> Tensor:
        return torch.randn(batch, seq, heads, d).transpose(1, 2).requires_grad_()

    works: dict[str, tuple[list[Tensor], Callable[..., Tensor], Callable[..., Tensor]]] = {
        "causal attention": (
            [by_head(), by_head(), by_head()],
            cpu_causal_attention,
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        ),
        "loss from hidden states": (
            [leaf(tokens, d_model), leaf(vocab_size, d_model)],
            lambda h, w: cpu_linear_cross_entropy(h, w, targets),
            lambda h, w: F.cross_entropy(h @ w.T, targets),
        ),
        "loss from logits": (
            [leaf(tokens, vocab_size)],
            lambda z: cpu_cross_entropy(z, targets),
            lambda z: F.cross_entropy(z, targets),
        ),
        "RMSNorm": (
            [leaf(tokens, d_model), leaf(d_model)],
            cpu_rms_norm,
            lambda x, w: F.rms_norm(x, (d_model,), w, 1e-5),
        ),
        "gate of SwiGLU": (
            [leaf(tokens, config.resolved_d_ff), leaf(tokens, config.resolved_d_ff)],
            cpu_silu_product,
            lambda a, b: F.silu(a) * b,
        ),
        "RoPE": (
            [by_head()],
            lambda x: cpu_rope(x, cos, sin),
            lambda x: rotate(x, cos, sin),
        ),
    }
    found = {}
    for name, (inputs, ours, theirs) in works.items():
        grad = torch.randn_like(ours(*inputs))

        def stepper(
            function: Callable[..., Tensor], inputs: list[Tensor] = inputs, grad: Tensor = grad
        ) -> Callable[[], Any]:
            return lambda: torch.autograd.grad(function(*inputs), inputs, grad)

        pair = {"ours": stepper(ours), "torch": stepper(theirs)}
        found[name] = in_turn(pair, 4 * options.rounds, clock)
    return found


def main() -> None:
    """Read what to measure from the command line and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=("steps", "optimizer", "functions"))
    parser.add_argument("--size", choices=training_models.SIZES, default="17M")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--contender", choices=training_models.CONTENDERS)
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    clock = time.perf_counter
    if options.processor_time:
        torch.set_num_threads(1)
        clock = time.thread_time
    works: dict[str, Callable[[], Any]] = {
        "steps": lambda: steps(options, clock),
        "optimizer": lambda: optimizer(options, clock),
        "functions": lambda: functions(options, clock),
    }
    print(json.dumps(works[options.work]()))


if __name__ == "__main__":
    main()
