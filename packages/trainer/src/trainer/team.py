"""The processes that train one model together, and how the model lies on them.

The loop asks a `Team` and a `Spread` what concerns other processes. The ones here are those of a
process by itself; `trainer.distributed` has those of several. Nothing here imports
torch.distributed.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.optim import Optimizer

from contracts import contract
from nn import TransformerLM
from optim import clip_grad_norm
from trainer.config import TrainConfig
from trainer.devices import resolve_device, should_compile
from trainer.restoring import first_not_finite


class Spread:
    """A model and its optimizers, whole, on one device."""

    def __init__(
        self, model: TransformerLM, optimizers: list[Optimizer], *, compiled: bool
    ) -> None:
        self.model = model
        self.optimizers = optimizers
        self.compiled = compiled
        self.forward: Callable[..., Tensor] = model
        self.loss: Callable[..., Tensor] = model.loss
        """The mean loss of this process's sequences."""
        self.tensors: Mapping[str, Tensor] = dict(model.named_parameters())
        """What the optimizers update, by the names in the model."""
        if compiled:
            self.forward, self.loss = torch.compile(model), torch.compile(model.loss)

    @contract
    def measure(self, mean: Float[Tensor, ""]) -> tuple[float, float]:
        """Return the loss and the norm of the gradients, both over all processes.

        The only place where the loop waits for the device.
        """
        norm = clip_grad_norm(self.tensors.values(), math.inf)
        loss, grad_norm = torch.stack([mean, norm]).tolist()
        return loss, grad_norm

    def clip(self, grad_norm: float, largest: float) -> None:
        """Scale the gradients, which have been measured, down to the norm `largest`."""
        if grad_norm > largest:
            clip_grad_norm(self.tensors.values(), largest)

    @contract
    def first_not_finite(self, tensors: Mapping[str, Shaped[Tensor, "..."]]) -> str | None:
        """Return the name of the first of `tensors` with NaN or infinity in any process."""
        return first_not_finite(tensors)

    def whole_model(self) -> TransformerLM:
        """Return the model with all weights; in processes but the first it may hold none."""
        return self.model

    def whole(self) -> tuple[TransformerLM, list[Optimizer]]:
        """Return model and optimizers with all of their state, to be saved by the first process."""
        return self.model, self.optimizers


class Team:
    """A process by itself."""

    rank = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Say whether this is the process that writes."""
        return self.rank == 0

    def gather(self, *numbers: float) -> list[list[float]]:
        """Return what every process gives, in the order of ranks; all must ask at once."""
        return [list(numbers)]

    def check(self, config: TrainConfig) -> None:
        """Raise ValueError for what so many processes cannot do."""

    def device(self, name: str) -> torch.device:
        """Return the device of this process; raise ValueError if there is none."""
        return resolve_device(name)

    def first_device(self, config: TrainConfig, device: torch.device) -> torch.device:
        """Return where the model is made and restored, before it is spread."""
        return device

    def spread(
        self,
        model: TransformerLM,
        optimizers: list[Optimizer],
        config: TrainConfig,
        device: torch.device,
    ) -> Spread:
        """Take hold of a model and its optimizers, which compute through the result from now on."""
        return Spread(model, optimizers, compiled=should_compile(config.compile, device))

    def agree_on_signal(self, received: int) -> int:
        """Return a signal that any process has received, 0 where none has."""
        return received

    def begin(
        self,
        config: TrainConfig,
        data: Path,
        identity: Mapping[str, str],
        resume_from: Path | None,
    ) -> None:
        """Tell the other processes what to train."""

    def nothing_to_do(self) -> None:
        """Tell the other processes that there is nothing to train."""
