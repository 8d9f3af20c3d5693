"""`account`: print what a model of some shape costs, without building it."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from nn import accounting
from nn.config import ModelConfig
from nn.flags import parse_flags

_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True)
class AccountFlags:
    """Count parameters, FLOPs, memory and time of training a model, by part."""

    preset: str = "default"
    """Shape to start from: default, gpt2, gpt2-medium, gpt2-large or gpt2-xl."""
    batch_size: int = 8
    """Sequences in a training step."""
    memory: str = "80GB"
    """Memory of the device, such as 80GB or 24GiB: how large a batch does it hold?"""
    tokens: float | None = None
    """Tokens to train on, such as 300e9; 20 per parameter if not given (Hoffmann et al. 2022)."""
    device_flops: float = 990e12
    """Peak of the device in FLOP/s; 990e12 is one H100 in bfloat16."""
    mfu: float = 0.4
    """Share of that peak that training reaches."""
    plain: bool = False
    """Count what the plain functions keep, all attention scores included, and not the fast ones."""
    compare: tuple[str, ...] = ()
    """Presets whose shares of the FLOPs are shown beside each other, at this model's context."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Changes to the preset."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} is not a positive integer")
        parse_bytes(self.memory)
        for name in ("tokens", "device_flops"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name}={value!r} is not a positive number")
        if not 0 < self.mfu <= 1:
            raise ValueError(f"mfu={self.mfu!r} is not a share above 0 and up to 1")
        for name in self.compare:
            _check_preset(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input is one line on standard error and exit status 2."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        flags = parse_flags(_flags_of_preset(given), given, prog="account")
    except ValueError as error:
        print(f"account: {error}", file=sys.stderr)
        return 2
    from nn.account_tables import print_account, print_comparison

    print_account(
        flags.model,
        batch_size=flags.batch_size,
        memory=parse_bytes(flags.memory),
        tokens=flags.tokens,
        device_flops=flags.device_flops,
        mfu=flags.mfu,
        plain=flags.plain,
    )
    if flags.compare:
        print_comparison(flags.compare, flags.model.context_length)
    return 0


def parse_bytes(text: str) -> float:
    """Return the bytes that a text such as `80GB` (powers of 1000) or `24 GiB` (of 1024) means."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?) ?(?:([KMGT])(i?))?B", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise ValueError(f"memory={text!r} is not a size such as 80GB or 24GiB")
    power = _UNITS[match[2].upper()] if match[2] else 0
    return float(match[1]) * (1024.0 if match[3] else 1000.0) ** power


def _flags_of_preset(arguments: Sequence[str]) -> AccountFlags:
    # Read ahead of the other flags, which say what to change in it.
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--preset", default="default", nargs="?", const="default")
    name = parser.parse_known_args(arguments)[0].preset
    _check_preset(name)
    return AccountFlags(preset=name, model=accounting.PRESETS[name])


def _check_preset(name: str) -> None:
    if name not in accounting.PRESETS:
        close = get_close_matches(name, accounting.PRESETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(accounting.PRESETS)
        raise ValueError(f"unknown preset {name!r}: {hint}")


if __name__ == "__main__":
    sys.exit(main())
