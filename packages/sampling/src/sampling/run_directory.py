"""Read a trained model and its tokenizer from a run directory.

A run holds `model/` (config.json and model.safetensors) and `tokenizer/`. Nothing else of it is
looked at, so a directory with these two is all that is needed to pass a model on.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from bpe import Tokenizer
    from nn import TransformerLM


class RunError(ValueError):
    """There is no run at the path that was given; the message is one line."""


class RunDamagedError(ValueError):
    """There is a run, but its files cannot be read or do not belong together."""


def load_run(
    directory: str | Path, *, device: "torch.device | str | None" = None
) -> "tuple[TransformerLM, Tokenizer]":
    """Return the model and the tokenizer of a run.

    Raises RunError if there is no run, RunDamagedError if there is one that is damaged.
    """
    run = Path(directory)
    check_run(run)
    from bpe import Tokenizer
    from nn import TransformerLM

    try:
        tokenizer = Tokenizer.load(run / "tokenizer")
        model = TransformerLM.load(run / "model", device=device)
    except (ValueError, FileNotFoundError) as error:
        raise RunDamagedError(str(error)) from error
    if tokenizer.vocab_size > model.config.vocab_size:
        raise RunDamagedError(
            f"{run}: tokenizer/ has {tokenizer.vocab_size} ids, model/ "
            f"vocab_size={model.config.vocab_size}: they are not of one run"
        )
    return model, tokenizer


def check_run(run: Path) -> None:
    """Raise RunError if there is no run. It is known at once, before torch has been loaded."""
    if not run.exists():
        raise RunError(f"{run} does not exist: give the directory of a run, such as runs/NAME")
    if not run.is_dir():
        raise RunError(f"{run} is a file: give the directory of a run, such as runs/NAME")
    for name in ("model", "tokenizer"):
        if not (run / name).is_dir():
            raise RunError(
                f"{run} is no run with a model: it holds no {name}/ "
                f"(training writes it at its first evaluation)"
            )
