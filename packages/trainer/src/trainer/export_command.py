"""`trainer export`: a run's model and tokenizer for transformers, and all that reads its files."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nn import export_llama
from sampling.run_directory import load_run
from trainer.display import Display
from trainer.summary import human_count


@dataclass(frozen=True)
class ExportFlags:
    """Write a run's model and tokenizer as a Llama that transformers opens.

    Example: trainer export runs/tiny-001 --out my-llama
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = tyro.MISSING
    """Directory of a run."""
    out: Path | None = None
    """A new directory; RUN/llama if not given."""


def export(flags: ExportFlags) -> None:
    """Export the run, and say how it is opened."""
    model, tokenizer = load_run(flags.run)
    out = flags.run / "llama" if flags.out is None else flags.out
    with tempfile.TemporaryDirectory() as directory:
        tokenizer.to_huggingface(Path(directory) / "tokenizer.json")
        export_llama(model, directory, out)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    display = Display()
    display.line(f"{out}: {human_count(parameters)} parameters, {tokenizer.vocab_size:,} tokens")
    display.blank()
    display.line(f'AutoModelForCausalLM.from_pretrained("{out}")')
    display.line(f'AutoTokenizer.from_pretrained("{out}")')
