"""The arguments that several commands take, and how `--help` shows them."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

Errors = Literal["strict", "replace"]
# Text: a path, or a URL, which a Path would change.
Files = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILES...", help_behavior_hint="")]
File = Annotated[str, tyro.conf.arg(metavar="FILE")]
TokenFile = Annotated[Path, tyro.conf.arg(metavar="FILE.npy")]
# A path, or a name that tiktoken knows.
AnyTokenizer = Annotated[str, tyro.conf.arg(metavar="TOKENIZER")]
Number = Annotated[int, tyro.conf.arg(metavar="N")]
CountsFiles = Annotated[
    tuple[Path, ...], tyro.conf.arg(metavar="PART.npz...", help_behavior_hint="")
]
OutCounts = Annotated[Path, tyro.conf.arg(metavar="PART.npz")]
Column = Annotated[str, tyro.conf.arg(metavar="NAME")]
OutTokenizer = Annotated[Path, tyro.conf.arg(metavar="DIR|FILE")]
OutDirectory = Annotated[Path, tyro.conf.arg(metavar="DIR")]
SpecialTokens = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(name="special-token", metavar="TEXT"),
]
Pattern = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
Workers = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")]
OutTokens = Annotated[Path | None, tyro.conf.arg(metavar="FILE.npy", help_behavior_hint="")]
OutText = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]


def as_source(file: str) -> str:
    """Return the path to read a file from: `-` is standard input."""
    return "/dev/stdin" if file == "-" else file
