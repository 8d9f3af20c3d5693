"""Train a language model: from raw text to a model one can talk to."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.batches import SequenceSampler as SequenceSampler
    from trainer.batches import get_batch as get_batch
    from trainer.config import TrainConfig as TrainConfig
    from trainer.presets import PRESETS as PRESETS
    from trainer.single_file import load_checkpoint as load_checkpoint
    from trainer.single_file import save_checkpoint as save_checkpoint

__all__ = [
    "PRESETS",
    "SequenceSampler",
    "TrainConfig",
    "get_batch",
    "load_checkpoint",
    "save_checkpoint",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # Names are imported when they are asked for: torch takes seconds, and the commands have
    # something to say before it has come.
    homes = {
        "SequenceSampler": "batches",
        "get_batch": "batches",
        "TrainConfig": "config",
        "PRESETS": "presets",
        "load_checkpoint": "single_file",
        "save_checkpoint": "single_file",
    }
    if name not in homes:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    return getattr(import_module(f"trainer.{homes[name]}"), name)
