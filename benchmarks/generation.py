"""Measure generation beside transformers' `generate`, on a CPU.

    uv run --group bench benchmarks/generation.py

takes about two minutes. The model of the TinyStories run (4 layers, width 512, vocabulary 10,000,
17M parameters without the embedding) with random weights, and the same weights as transformers'
Llama, written by `nn.export_llama`; float32. Each continues prompts of 16 and of 256 tokens by 256
more, greedily, one text and four at once; both in one process, in turn, after a short generation
that does not count. They must write the same tokens. Time is the clock's and the processor's: on a
machine that others use too, the second is steadier. The page is written to
benchmarks/results/generation.md. `--tiny` takes a small model and writes nothing.
"""

import argparse
import dataclasses
import datetime
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# As the command `generate` does, before torch is imported.
from sampling.cli import own_process

own_process()

import torch  # noqa: E402
import transformers  # noqa: E402

from nn import ModelConfig, TransformerLM, export_llama  # noqa: E402
from sampling import SamplingConfig, generate  # noqa: E402

PAGE = Path(__file__).resolve().parent / "results" / "generation.md"
CASES = [(16, 1), (16, 4), (256, 1), (256, 4)]

Ids = list[list[int]]
Write = Callable[[Ids, int], Ids]
"""From prompts of one length, and how many tokens, to the new tokens."""


def models(config: ModelConfig) -> dict[str, Write]:
    ours = TransformerLM(config, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as directory:
        export_llama(ours, None, Path(directory) / "llama")
        theirs: Any = transformers.LlamaForCausalLM.from_pretrained(Path(directory) / "llama")

    def write_ours(prompts: Ids, count: int) -> Ids:
        return generate(ours, prompts, SamplingConfig(temperature=0, max_tokens=count))

    @torch.inference_mode()
    def write_theirs(prompts: Ids, count: int) -> Ids:
        ids = torch.tensor(prompts)
        texts = theirs.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
        new: Ids = texts[:, ids.shape[1] :].tolist()
        return new

    return {"ours": write_ours, "transformers": write_theirs}


def measure(
    writers: dict[str, Write], prompts: Ids, count: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Return the median seconds of each, by the clock and of the processor."""
    for write in writers.values():
        write(prompts, 2)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in writers}
    texts = {}
    for turn in range(rounds):
        for name in sorted(writers, reverse=bool(turn % 2)):
            clock, processor = time.perf_counter(), time.process_time()
            texts[name] = writers[name](prompts, count)
            found[name].append((time.perf_counter() - clock, time.process_time() - processor))
    if texts["ours"] != texts["transformers"]:
        sys.exit(f"{len(prompts)} prompts of {len(prompts[0])} tokens: the texts differ")
    return {
        name: (statistics.median(c for c, _ in times), statistics.median(p for _, p in times))
        for name, times in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a small model; writes no page")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=256, help="new tokens of each text")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]
    config = ModelConfig(
        vocab_size=10_000, context_length=512, d_model=512, d_ff=1344, num_layers=4, num_heads=16
    )
    if options.tiny:
        config = dataclasses.replace(config, vocab_size=257, d_model=32, d_ff=64, num_heads=2)
    writers = models(config)
    lines = [
        "# Generation beside transformers",
        "",
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, load {load:.1f} "
        "before it began; made by `benchmarks/generation.py`.",
        "",
        f"{options.tokens} new tokens of each text, greedily, float32, the same weights and the "
        f"same tokens; median of {options.rounds} rounds in turn. Seconds by the clock / of the "
        "processor; the ratio is transformers' over ours.",
        "",
        "| prompt | texts | ours | transformers | ratio, clock | ratio, processor |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for length, batch in CASES:
        generator = torch.Generator().manual_seed(length)
        prompts = torch.randint(config.vocab_size, (batch, length), generator=generator).tolist()
        seconds = measure(writers, prompts, options.tokens, options.rounds)
        ours, theirs = seconds["ours"], seconds["transformers"]
        lines.append(
            f"| {length} | {batch} | {ours[0]:.2f} / {ours[1]:.2f} | "
            f"{theirs[0]:.2f} / {theirs[1]:.2f} | {theirs[0] / ours[0]:.2f} | "
            f"{theirs[1] / ours[1]:.2f} |"
        )
        print(lines[-1], flush=True)
    if not options.tiny:
        PAGE.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
