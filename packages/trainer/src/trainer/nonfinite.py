"""What a step with NaN or infinity in it is told as: where it is, and what still is good."""

import math
from collections.abc import Iterator, Mapping

from torch import Tensor

from trainer.team import Spread


class NonFiniteError(RuntimeError):
    """A loss or a gradient is not finite; the weights have not been changed by it."""


def bad_weight(spread: Spread) -> str | None:
    """Return the name of the first weight that is not finite, None where all are."""
    return spread.first_not_finite(spread.tensors)


def describe(spread: Spread, step: int, loss: float, grad_norm: float, rate: float) -> str:
    """Say what happened at `step`, before its update: the numbers, and the first bad tensor."""
    wrong = "loss" if not math.isfinite(loss) else "gradient norm"
    value = loss if wrong == "loss" else grad_norm
    name = spread.first_not_finite(dict(_tensors(spread.tensors)))
    where = f"first bad tensor: {name}" if name else "every weight and gradient by itself is finite"
    return (
        f"step {step}: the {wrong} is {value} (loss {loss:.4g}, learning rate {rate:.3g}, "
        f"gradient norm {grad_norm:.4g}); {where}; last good step {step - 1}"
    )


def _tensors(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from weights.items()
    for name, weight in weights.items():
        if weight.grad is not None:
            yield f"gradient of {name}", weight.grad
