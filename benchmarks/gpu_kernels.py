"""Check each Triton kernel against the plain function and time both, and print it as JSON.

Errors are relative to the plain function in float64, on fresh random numbers, in bfloat16: the
output's, and the largest among the gradients'. Times are of forward and backward together, median,
of four versions: our kernel, the plain function, the plain function compiled, torch's own kernel.
Run with NN_KERNELS=none (`gpu.py` does), so that the plain functions are plain.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from nn import causal_attention, cross_entropy, linear, rms_norm, rope, silu
from nn.triton_kernels.flash_attention import flash_attention
from nn.triton_kernels.linear_cross_entropy import fused_linear_cross_entropy
from nn.triton_kernels.rms_norm import fused_rms_norm
from nn.triton_kernels.rope import fused_rope
from nn.triton_kernels.swiglu import fused_silu_product

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """One piece of work and the versions that do it."""

    name: str
    inputs: list[Tensor]
    kernel: Function
    plain: Function
    fused: Function | None


def cases(device: torch.device, *, tiny: bool) -> Iterator[Case]:
    """Yield the work of the TinyStories model, and attention at longer contexts."""

    # The interpreter's products do not read bfloat16.
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    batch, seq, heads, d_head, d_ff, vocab_size = 128, 256, 16, 32, 1344, 10_000
    longer = [(16, 2048, 16, 16, 64), (4, 4096, 16, 4, 128)]
    if tiny:
        batch, seq, heads, d_head, d_ff, vocab_size = 2, 37, 2, 16, 53, 211
        longer = [(1, 71, 4, 2, 24)]
    d_model = heads * d_head
    for batch_size, length, query_heads, kv_heads, size in [
        (batch, seq, heads, heads, d_head),
        *longer,
    ]:
        # Heads lie as projections make them.
        q, k, v = (
            draw(batch_size, length, count, size).transpose(1, 2)
            for count in (query_heads, kv_heads, kv_heads)
        )
        yield Case(
            f"attention, {batch_size} x {length}, {query_heads}/{kv_heads} heads of {size}",
            [q, k, v],
            flash_attention,
            causal_attention,
            lambda q, k, v: F.scaled_dot_product_attention(
                q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1]
            ),
        )
    x, weight = draw(batch, seq, d_model), draw(d_model)
    yield Case(
        "RMSNorm",
        [x, weight],
        fused_rms_norm,
        rms_norm,
        lambda x, weight: F.rms_norm(x, weight.shape, weight, eps=1e-5),
    )
    q, k = (draw(batch, seq, heads, d_head).transpose(1, 2) for _ in "qk")
    angles = torch.rand(seq, d_head // 2, device=device) * 6
    cos, sin = angles.cos(), angles.sin()
    yield Case(
        "RoPE of queries and keys",
        [q, k],
        lambda q, k: torch.stack(fused_rope(q, k, cos, sin)),
        lambda q, k: torch.stack((rope(q, cos, sin), rope(k, cos, sin))),
        None,
    )
    yield Case(
        "gate of SwiGLU",
        [draw(batch, seq, d_ff), draw(batch, seq, d_ff)],
        fused_silu_product,
        lambda a, b: silu(a) * b,
        lambda a, b: F.silu(a) * b,
    )
    targets = torch.randint(vocab_size, (batch, seq), device=device)
    hidden, projection = draw(batch, seq, d_model), draw(vocab_size, d_model) * d_model**-0.5
    for megabytes in (32, 128, 1024):
        yield Case(
            f"projection and loss, slices of {megabytes} MiB",
            [hidden, projection],
            lambda h, w, megabytes=megabytes: fused_linear_cross_entropy(
                h, w, targets[: len(h)], chunk_bytes=megabytes * 2**20
            ),
            lambda h, w: cross_entropy(linear(h, w), targets[: len(h)]),
            lambda h, w: F.cross_entropy(
                (h @ w.T).flatten(0, 1).float(), targets[: len(h)].flatten()
            ),
        )


def output_and_gradients(function: Function, inputs: list[Tensor]) -> list[Tensor]:
    """Return the output and the gradients of its product with a fixed wave."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = function(*leaves)
    wave = torch.arange(out.numel(), device=out.device, dtype=torch.float32).cos()
    return [out.detach(), *torch.autograd.grad(out, leaves, wave.view(out.shape).to(out.dtype))]


def errors(case: Case) -> tuple[float, float]:
    """Return the relative error of the output, and the largest of the gradients'."""
    # Two sequences of the batch: in float64 the scores of all would be large.
    inputs = [x[:2] if x.ndim > 2 else x for x in case.inputs]
    actual = output_and_gradients(case.kernel, inputs)
    exact = output_and_gradients(case.plain, [x.double() for x in inputs])
    found = [float((a.double() - e).norm() / e.norm()) for a, e in zip(actual, exact, strict=True)]
    return found[0], max(found[1:])


def milliseconds(function: Function, inputs: list[Tensor]) -> float:
    """Return the median time of forward and backward, launched as one CUDA graph on a GPU."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    grad = torch.randn_like(function(*leaves))

    def work() -> None:
        torch.autograd.grad(function(*leaves), leaves, grad)

    if inputs[0].is_cuda:
        # A launch costs the host more than most of these kernels take.
        return float(triton.testing.do_bench_cudagraph(work, rep=100, return_mode="median"))
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1e3)
    return median(times)


def time_versions(case: Case, backend: str) -> dict[str, float | str]:
    """Return the milliseconds of each version; what fails says why in their place."""
    torch.compiler.reset()
    versions: dict[str, Function | None] = {
        "kernel": case.kernel,
        "plain": case.plain,
        "compiled": torch.compile(case.plain, dynamic=False, backend=backend),
        "torch": case.fused,
    }
    times: dict[str, float | str] = {}
    for name, version in versions.items():
        try:
            if version is not None:
                times[name] = milliseconds(version, case.inputs)
        except Exception as error:
            # One version that runs out of memory leaves the others.
            times[name] = f"{type(error).__name__}: {error}".splitlines()[0][:60]
    return times


def ceilings(device: torch.device, *, tiny: bool) -> dict[str, float]:
    """Measure what the machine can do: bytes copied a second, bfloat16 products a second."""
    size = 64 if tiny else 8192
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in "ab")
    source = torch.randn((2**10 if tiny else 2**30), device=device)
    target = torch.empty_like(source)

    def seconds(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(13):
            if device.type == "cuda":
                torch.cuda.synchronize()
            begun = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
        return median(times[3:])

    return {
        "bytes_per_second": 2 * source.nbytes / seconds(lambda: target.copy_(source)),
        "flops": 2 * size**3 / seconds(lambda: a @ b),
    }


def main() -> None:
    """Print the ceilings and one entry a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--backend", default="inductor")
    options = parser.parse_args()
    device = torch.device(options.device)
    rows = []
    torch.manual_seed(time.time_ns())
    for case in cases(device, tiny=options.tiny):
        output_error, gradient_error = errors(case)
        rows.append(
            {
                "name": case.name,
                "output_error": output_error,
                "gradient_error": gradient_error,
                "milliseconds": time_versions(case, options.backend),
            }
        )
    print(json.dumps({"ceilings": ceilings(device, tiny=options.tiny), "kernels": rows}))


if __name__ == "__main__":
    main()
