"""Steps whose loss or gradient stands out from those before: their update can be left out.

One batch of broken text can throw a model back by hundreds of steps. It shows before the update: as
a loss, or a norm of the gradient, many standard deviations above the mean of the last steps.
"""

import math
from collections.abc import Iterable, Sequence

# Steps that are looked back on, and how many there must be before any is called a spike.
WINDOW, LEAST = 128, 64


class SpikeFilter:
    """Say which steps stand out by more than `sigma` standard deviations; with 0, none does."""

    def __init__(
        self, sigma: float, count: int = 0, recent: Iterable[Sequence[float]] = ()
    ) -> None:
        self.sigma = sigma
        self.count = count
        """Spikes found so far."""
        self.recent = [list(pair) for pair in recent]
        """Loss and gradient norm of the last steps."""

    @property
    def state(self) -> tuple[int, list[list[float]]]:
        """Return all that the answers depend on, as it is saved."""
        return self.count, self.recent

    def is_spike(self, loss: float, grad_norm: float) -> bool:
        """Compare a step with those before it, and remember it if its numbers are finite.

        A spike is remembered too: a loss that stays high is the new normal after some steps, and
        the run does not stand still for ever.
        """
        if not self.sigma or not math.isfinite(loss + grad_norm):
            return False
        columns = zip(*self.recent, strict=True) if len(self.recent) >= LEAST else ((), ())
        found = any(
            _stands_out(value, column, self.sigma)
            for value, column in zip((loss, grad_norm), columns, strict=True)
        )
        self.recent = [*self.recent, [loss, grad_norm]][-WINDOW:]
        self.count += found
        return found


def _stands_out(value: float, others: Sequence[float], sigma: float) -> bool:
    if not others:
        return False
    mean = math.fsum(others) / len(others)
    variance = math.fsum((other - mean) ** 2 for other in others) / len(others)
    return value > mean + sigma * math.sqrt(variance)
