"""The loss on held-out tokens, always on the same windows."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bpe.token_file import TokenArray
from contracts import contract
from nn import cross_entropy
from trainer.batches import gather_windows


def fixed_windows(num_tokens: int, context_length: int, windows: int) -> npt.NDArray[np.int64]:
    """Return where the evaluation windows begin: spread evenly, and never overlapping.

    There are fewer than `windows` of them where the tokens do not hold more.
    """
    available = (num_tokens - 1) // context_length
    count = min(windows, available)
    places = np.linspace(0, available - 1, count).round().astype(np.int64)
    return places * context_length


@contract
def evaluate(
    forward: Callable[[Tensor], Tensor],
    tokens: TokenArray,
    starts: npt.NDArray[np.int64],
    context_length: int,
    *,
    batch_size: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Return the mean loss in nats per token over the windows that begin at `starts`.

    `progress` is told how many windows are done, and of how many.
    """
    total = 0.0
    for first in range(0, len(starts), batch_size):
        batch = starts[first : first + batch_size]
        inputs, targets = gather_windows(tokens, batch, context_length, device)
        with torch.no_grad():
            total += cross_entropy(forward(inputs).float(), targets).item() * len(batch)
        if progress is not None:
            progress(first + len(batch), len(starts))
    return total / len(starts)


def perplexity(loss: float) -> float:
    """Return exp(loss), or infinity where that overflows."""
    return math.exp(loss) if loss < 700 else math.inf


def bits_per_byte(loss: float, tokens: int, size: int) -> float:
    """Turn nats per token into bits per byte of a text of `size` bytes and `tokens` tokens.

    Unlike the loss per token, it can be compared between vocabularies.
    """
    return loss * tokens / size / math.log(2)
