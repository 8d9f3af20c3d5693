"""The gradients of one step, taken in parts where its sequences are too many to pass at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from contracts import contract
from trainer.config import TrainConfig
from trainer.devices import autocast
from trainer.isolation import isolation


@contract
def accumulate_gradients(
    loss_of: Callable[..., Tensor],
    inputs: Int[Tensor, "batch seq"],
    targets: Int[Tensor, "batch seq"],
    config: TrainConfig,
    device: torch.device,
    *,
    scale: float,
    isolated_by: int | None,
    check: Callable[[], None],
) -> Float[Tensor, ""]:
    """Add the gradients of the mean loss over all sequences, part by part; return that loss.

    The gradients are `scale` times as large. `check` is called before each part, and may raise.
    Documents that begin with the id `isolated_by` are kept apart.
    """
    parts = config.gradient_accumulation
    total = torch.zeros((), device=device)
    for part_inputs, part_targets in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
        check()
        with autocast(config.precision, device):
            loss = loss_of(part_inputs, part_targets, **isolation(part_inputs, isolated_by)) / parts
        scaled = loss if scale == 1.0 else loss * scale
        scaled.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total
