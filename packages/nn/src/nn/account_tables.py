"""The tables of the command `account`, 80 columns wide."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from nn import accounting
from nn.config import ModelConfig

_PART_NAMES = {
    "token_embeddings": "embeddings",
    "value_embeddings": "value embeddings",
    "attention_projections": "attention weights",
    "attention_scores": "attention scores",
    "ffn": "feed-forward",
    "norms": "norms, residuals",
    "lm_head": "output and loss",
}
_MEMORY_NAMES = {
    "parameters": "weights",
    "gradients": "gradients",
    "optimizer": "AdamW's moments",
    "activations": "activations",
}
# Hoffmann et al. 2022 train on about so many tokens per parameter for the least FLOPs.
_TOKENS_PER_PARAMETER = 20
_THOUSANDS = ("", " thousand", " million", " billion", " trillion")


def print_account(
    config: ModelConfig,
    *,
    batch_size: int,
    memory: float,
    tokens: float | None,
    device_flops: float,
    mfu: float,
    plain: bool,
) -> None:
    """Print what the model costs by part, the memory of a training step, and the time to train."""
    console = Console(highlight=False)
    context = config.context_length
    console.print(
        f"[bold]{config.num_layers} layers, d_model {config.d_model}, {config.num_heads} heads, "
        f"d_ff {config.resolved_d_ff}, context {context}, vocabulary {config.vocab_size:,}[/]\n\n"
        "A token: MFLOP of a forward pass (backward is twice that), KiB that it keeps."
    )
    console.print(_part_table(config, plain))
    console.print(
        f"[bold]Memory of a training step on {batch_size} x {context} tokens[/]"
        "\nfloat32, AdamW, nothing recomputed"
    )
    console.print(_memory_table(config, batch_size, memory, plain))
    console.print("[bold]Time to train[/]")
    console.print(_time_table(config, batch_size, tokens, device_flops=device_flops, mfu=mfu))


def print_comparison(presets: Sequence[str], context_length: int) -> None:
    """Print what share of the FLOPs each part has in each preset, in sequences of that length."""
    console = Console(highlight=False)
    console.print(f"[bold]Shares of the FLOPs at context {context_length}[/]")
    table = _table("part", *presets)
    counts = [
        accounting.count_forward_flops(accounting.PRESETS[name], context_length=context_length)
        for name in presets
    ]
    totals = [sum(count.values()) for count in counts]
    for part in accounting.PARTS:
        if any(count[part] for count in counts):
            shares = (count[part] / total for count, total in zip(counts, totals, strict=True))
            table.add_row(_PART_NAMES[part], *(f"{share:.1%}" for share in shares))
    table.add_section()
    table.add_row("forward, a token", *(_with_unit(total, "FLOP") for total in totals))
    sequences = (_with_unit(total * context_length, "FLOP") for total in totals)
    table.add_row("forward, a sequence", *sequences)
    console.print(table)


def _part_table(config: ModelConfig, plain: bool) -> Table:
    parameters = accounting.count_parameters(config)
    forward = accounting.count_forward_flops(config)
    activations = accounting.count_activations(config, plain=plain)
    counts = (parameters, forward, activations)
    all_parameters, all_flops, all_activations = (sum(count.values()) for count in counts)
    table = _table("part", "parameters", "share", "MFLOP", "share", "KiB kept")
    for part in accounting.PARTS:
        if any(count[part] for count in counts):
            table.add_row(
                _PART_NAMES[part],
                f"{parameters[part]:,}",
                f"{parameters[part] / all_parameters:.1%}",
                f"{forward[part] / 1e6:,.1f}",
                f"{forward[part] / all_flops:.1%}",
                f"{activations[part] * 4 / 1024:,.1f}",
            )
    table.add_section()
    table.add_row(
        "total",
        f"{all_parameters:,}",
        "",
        f"{all_flops / 1e6:,.1f}",
        "",
        f"{all_activations * 4 / 1024:,.1f}",
        style="bold",
    )
    return table


def _memory_table(config: ModelConfig, batch_size: int, memory: float, plain: bool) -> Table:
    needs = accounting.count_memory(config, batch_size=batch_size, plain=plain)
    table = _table("for", "memory")
    for use, number in needs.items():
        table.add_row(_MEMORY_NAMES[use], _with_unit(number, "B"))
    table.add_section()
    table.add_row("total", _with_unit(sum(needs.values()), "B"), style="bold")
    largest = accounting.largest_batch(config, memory, plain=plain)
    held = f"{largest:,} x {config.context_length}" if largest else "not even one sequence"
    table.add_row(f"largest batch in {_with_unit(memory, 'B')}", held)
    return table


def _time_table(
    config: ModelConfig, batch_size: int, tokens: float | None, *, device_flops: float, mfu: float
) -> Table:
    forward = sum(accounting.count_forward_flops(config).values()) * config.context_length
    step = 3 * forward * batch_size
    if tokens is None:
        tokens = _TOKENS_PER_PARAMETER * sum(accounting.count_parameters(config).values())
    days = accounting.training_days(config, tokens, device_flops=device_flops, mfu=mfu)
    table = _table("", "")
    table.show_header = False
    table.add_row("forward pass of one sequence", _with_unit(forward, "FLOP"))
    table.add_row(f"training step on {batch_size} sequences", _with_unit(step, "FLOP"))
    speed = f"{mfu:.0%} of {_with_unit(device_flops, 'FLOP/s')}"
    many = f"{_three_digits(tokens, _THOUSANDS)} tokens"
    table.add_row(f"{many} at {speed}", _duration(days), style="bold")
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _with_unit(number: float, unit: str) -> str:
    """Write a number to three digits with a decimal prefix: 26.2 GB."""
    return _three_digits(number, [f" {prefix}{unit}" for prefix in ("", "k", "M", "G", "T", "P")])


def _three_digits(number: float, thousands: Sequence[str]) -> str:
    power = 0
    while number >= 999.5 and power + 1 < len(thousands):
        number /= 1000
        power += 1
    return f"{number:.3g}{thousands[power]}"


def _duration(days: float) -> str:
    if days >= 2:
        return f"{days:,.1f} days"
    if days * 24 >= 2:
        return f"{days * 24:.1f} hours"
    return f"{days * 24 * 60:,.1f} minutes"
