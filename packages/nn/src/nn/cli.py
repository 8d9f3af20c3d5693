"""`account`: print what a model of some shape costs, without building it."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from nn import accounting
from nn.config import ModelConfig

if TYPE_CHECKING:
    from rich.table import Table

_PART_NAMES = {
    "token_embeddings": "embeddings",
    "attention_projections": "attention weights",
    "attention_scores": "attention scores",
    "ffn": "feed-forward",
    "norms": "norms, residuals",
    "lm_head": "output and loss",
}


@dataclass(frozen=True)
class AccountFlags:
    """Count parameters, FLOPs and training memory of a model, by part."""

    preset: str = "default"
    """Shape to start from: default, gpt2, gpt2-medium, gpt2-large or gpt2-xl."""
    batch_size: int = 8
    """Sequences in a training step."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Changes to the preset."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} is not a positive integer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input is one line on standard error and exit status 2."""
    import tyro
    from rich.console import Console

    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        flags = tyro.cli(
            AccountFlags,
            prog="account",
            args=given,
            default=_flags_of_preset(given),
        )
    except ValueError as error:
        print(f"account: {error}", file=sys.stderr)
        return 2
    config = flags.model
    console = Console(highlight=False)
    console.print(
        f"[bold]{config.num_layers} layers, d_model {config.d_model}, {config.num_heads} heads, "
        f"d_ff {config.resolved_d_ff}, context {config.context_length}, "
        f"vocabulary {config.vocab_size:,}[/]\n"
        "MFLOP per token; activations, kept for the backward pass, in KiB per token."
    )
    console.print(_part_table(config))
    console.print(
        f"[bold]Memory of a training step on {flags.batch_size} x {config.context_length} tokens[/]"
        "\nfloat32, AdamW"
    )
    console.print(_memory_table(config, flags.batch_size))
    return 0


def _flags_of_preset(arguments: Sequence[str]) -> AccountFlags:
    # Read ahead of the other flags, which say what to change in it.
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--preset", default="default", nargs="?", const="default")
    name = parser.parse_known_args(arguments)[0].preset
    if name not in accounting.PRESETS:
        close = get_close_matches(name, accounting.PRESETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(accounting.PRESETS)
        raise ValueError(f"unknown preset {name!r}: {hint}")
    return AccountFlags(preset=name, model=accounting.PRESETS[name])


def _part_table(config: ModelConfig) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    parameters = accounting.count_parameters(config)
    forward = accounting.count_forward_flops(config)
    backward = accounting.count_backward_flops(config)
    activations = accounting.count_activations(config)
    total = sum(parameters.values())
    table = Table(box=SIMPLE_HEAD)
    table.add_column("part")
    for heading in ("parameters", "share", "forward", "backward", "activations"):
        table.add_column(heading, justify="right")
    for part in accounting.PARTS:
        table.add_row(
            _PART_NAMES[part],
            f"{parameters[part]:,}",
            f"{parameters[part] / total:.1%}",
            f"{forward[part] / 1e6:,.1f}",
            f"{backward[part] / 1e6:,.1f}",
            f"{activations[part] * 4 / 1024:,.1f}",
        )
    table.add_section()
    table.add_row(
        "total",
        f"{total:,}",
        "",
        f"{sum(forward.values()) / 1e6:,.1f}",
        f"{sum(backward.values()) / 1e6:,.1f}",
        f"{sum(activations.values()) * 4 / 1024:,.1f}",
        style="bold",
    )
    return table


def _memory_table(config: ModelConfig, batch_size: int) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    memory = accounting.count_memory(config, batch_size=batch_size)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("for", no_wrap=True, min_width=24)
    table.add_column("MiB", justify="right")
    for use, number in memory.items():
        table.add_row(use, f"{number / 2**20:,.1f}")
    table.add_section()
    table.add_row("total", f"{sum(memory.values()) / 2**20:,.1f}", style="bold")
    return table


if __name__ == "__main__":
    sys.exit(main())
