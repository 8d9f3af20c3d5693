"""The loss on held-out tokens, always on the same windows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bpe.token_file import TokenArray
from contracts import contract
from nn import cross_entropy
from trainer.batches import document_starts, gather_windows
from trainer.isolation import isolation
from trainer.team import Team


@dataclass(frozen=True)
class FixedWindows:
    """Windows of one length, of which the first targets count and the rest are only read."""

    starts: npt.NDArray[np.int64]
    counted: npt.NDArray[np.int64]
    """How many targets of each window count."""
    context_length: int

    def at_most(self, windows: int) -> "FixedWindows":
        """Return so many of these windows, spread evenly; all where there are no more."""
        count = min(windows, len(self.starts))
        places = np.linspace(0, len(self.starts) - 1, count).round().astype(np.int64)
        return FixedWindows(self.starts[places], self.counted[places], self.context_length)


def fixed_windows(num_tokens: int, context_length: int) -> FixedWindows:
    """Cut the tokens into windows side by side; what does not fill the last one is left out."""
    starts = np.arange((num_tokens - 1) // context_length) * context_length
    return FixedWindows(starts, np.full(len(starts), context_length), context_length)


def document_windows(
    documents: npt.NDArray[np.int64], num_tokens: int, context_length: int
) -> FixedWindows:
    """Cut each document, from its beginning, into windows side by side.

    `documents` are where they begin. The last window of a document reads on in the next one, and
    counts only up to there, so that no target counts twice. Windows that the end of the tokens
    does not let fill are left out.
    """
    ends = np.append(documents[1:], num_tokens - 1)
    pieces = -(-(ends - documents) // context_length)
    inside = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(documents, pieces) + inside * context_length
    counted = np.minimum(np.repeat(ends, pieces) - starts, context_length)
    fits = starts + context_length < num_tokens
    return FixedWindows(starts[fits], counted[fits], context_length)


def held_out_windows(
    tokens: TokenArray, context_length: int, separator: int | None
) -> FixedWindows:
    """Return all evaluation windows: of each document where the `separator` of those is given."""
    if separator is None:
        return fixed_windows(len(tokens), context_length)
    return document_windows(document_starts(tokens, separator), len(tokens), context_length)


@contract
def evaluate(
    forward: Callable[..., Tensor],
    tokens: TokenArray,
    windows: FixedWindows,
    *,
    batch_size: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
    team: Team | None = None,
    fixed_shape: bool = False,
    isolated_by: int | None = None,
) -> float:
    """Return the mean loss in nats over the tokens that count in `windows`.

    `progress` is told how many windows are done, and of how many. The processes of a `team` share
    the windows, and get the same loss. With `fixed_shape` the last batch is filled up with windows
    that do not count: a compiled `forward` would be compiled again for a smaller one. Documents
    that begin with the id `isolated_by` are kept apart.
    """
    team = team or Team()
    total, length, count = 0.0, windows.context_length, len(windows.starts)
    for round_first in range(0, count, batch_size * team.size):
        first = round_first + batch_size * team.rank
        # Nobody may be missing in a round: one without windows of its own repeats others.
        counts_here = first < count
        first = first if counts_here else 0
        batch = slice(first, first + batch_size)
        starts, counted = windows.starts[batch], windows.counted[batch]
        if fixed_shape:
            missing = batch_size - len(starts)
            starts, counted = np.pad(starts, (0, missing), "edge"), np.pad(counted, (0, missing))
        inputs, targets = gather_windows(tokens, starts, length, device)
        counts = torch.from_numpy(np.arange(length) < counted[:, None]).to(device)
        with torch.no_grad():
            logits = forward(inputs, **isolation(inputs, isolated_by)).float()
            loss = cross_entropy(logits[counts], targets[counts]).item()
        if counts_here:
            total += loss * int(counts.sum())
        if progress is not None:
            progress(min(round_first + batch_size * team.size, count), count)
    return sum(part for (part,) in team.gather(total)) / int(windows.counted.sum())


def other_units(loss: float, tokens: int, size: int | None) -> dict[str, float]:
    """Return a loss as perplexity and, of a text of a known `size`, as bits per byte."""
    found = {"perplexity": perplexity(loss)}
    if size:
        found["bits_per_byte"] = bits_per_byte(loss, tokens, size)
    return found


def perplexity(loss: float) -> float:
    """Return exp(loss), or infinity where that overflows."""
    return math.exp(loss) if loss < 700 else math.inf


def bits_per_byte(loss: float, tokens: int, size: int) -> float:
    """Turn nats per token into bits per byte of a text of `size` bytes and `tokens` tokens.

    Unlike the loss per token, it can be compared between vocabularies.
    """
    return loss * tokens / size / math.log(2)
