"""A loss scale for float16, whose smallest number is 6e-8: most gradients are smaller.

The loss is multiplied before the backward pass and the gradients are divided after it; in between
they are large enough to be kept (Micikevicius et al. 2018, section 3.2). The scale is the largest
that the gradients bear: it is halved when one of them overflows, and doubled when none has for a
while. All scales are powers of two, so that scaling itself rounds nothing.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from contracts import contract

FIRST_SCALE = 2.0**16
GROWTH_INTERVAL = 2000


class LossScaler:
    """Scale losses in precision fp16; in any other one, do nothing.

    `scale` and `good_steps` are the whole state; a scale of 0 stands for the first one.
    """

    def __init__(self, precision: str, scale: float = 0.0, good_steps: int = 0) -> None:
        self.enabled = precision == "fp16"
        self.scale = (scale or FIRST_SCALE) if self.enabled else 1.0
        self.good_steps = good_steps
        """Steps since the scale was changed."""

    @property
    def state(self) -> tuple[float, int]:
        """Return scale and good steps as they are saved: zeros where nothing is scaled."""
        return (self.scale, self.good_steps) if self.enabled else (0.0, 0)

    @contract
    def unscale(self, weights: Iterable[Tensor], grad_norm: float) -> float:
        """Divide the gradients of `weights`, and their norm, by the scale; return the norm."""
        if self.enabled:
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            torch._foreach_mul_(gradients, 1.0 / self.scale)
        return grad_norm / self.scale

    def overflowed(self, loss: float, grad_norm: float) -> bool:
        """Adjust the scale after a step; say whether its gradients overflowed because of it.

        They are to be thrown away then. A loss that is not finite is not the scale's fault, nor are
        gradients that are not finite without one.
        """
        if not self.enabled:
            return False
        if math.isfinite(loss + grad_norm):
            self.good_steps += 1
            if self.good_steps == GROWTH_INTERVAL:
                self.scale, self.good_steps = 2.0 * self.scale, 0
            return False
        if not math.isfinite(loss) or self.scale <= 1.0:
            return False
        self.scale, self.good_steps = 0.5 * self.scale, 0
        return True
