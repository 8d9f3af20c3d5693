"""Which sequences the model sees: random windows of the token array, and windows by number.

`get_batch` draws at random and remembers nothing. A run uses `SequenceSampler` instead: the windows
of step s depend on the seed and s alone, so a resumed run needs no replay, and however many
processes share the work they cut the same list.

A window that begins in the middle of a story asks for names that the model cannot have read. Where
the sampler knows the documents, it moves such a window back to the document's beginning.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from bpe.token_file import TokenArray
from contracts import contract
from trainer.mixture import Mixture, separator_places


@contract
def get_batch(
    dataset: Integer[np.ndarray, " tokens"],
    batch_size: int,
    context_length: int,
    device: str | torch.device,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, "batch_size context_length"], Int[Tensor, "batch_size context_length"]]:
    """Draw windows uniformly, with replacement, and the same windows one token later.

    Every start from 0 to tokens - context_length - 1 is equally likely. Ids come as int64. A device
    that does not exist is torch's error.
    """
    starts = len(dataset) - context_length
    if starts < 1:
        raise ValueError(
            f"{len(dataset)} tokens are too few for context_length={context_length}: "
            f"{context_length + 1} are needed"
        )
    drawn = torch.randint(starts, (batch_size,), generator=generator).numpy()
    return gather_windows(dataset, drawn, context_length, device)


@contract
def gather_windows(
    dataset: Integer[np.ndarray, " tokens"],
    starts: Int[np.ndarray, " batch"],
    context_length: int,
    device: str | torch.device,
) -> tuple[Int[Tensor, "batch context_length"], Int[Tensor, "batch context_length"]]:
    """Return the inputs and targets (int64) of the windows that begin at `starts`."""
    # Where there is no CUDA the copy must be what complains, in torch's own words.
    pin = torch.device(device).type == "cuda" and torch.cuda.is_available()
    return move_windows(read_windows(dataset, starts, context_length, pin=pin), device)


@contract
def read_windows(
    dataset: Integer[np.ndarray, " tokens"],
    starts: Int[np.ndarray, " batch"],
    context_length: int,
    *,
    pin: bool = False,
) -> Int[Tensor, "batch length"]:
    """Return the ids (int64) of windows, each with the token after it, in memory of the CPU.

    With `pin` in memory that a GPU copies from while the CPU goes on.
    """
    windows = np.empty((len(starts), context_length + 1), dtype=np.int64)
    for row, start in zip(windows, starts, strict=True):
        row[:] = dataset[start : start + context_length + 1]
    ids = torch.from_numpy(windows)
    return ids.pin_memory() if pin else ids


@contract
def move_windows(
    windows: Int[Tensor, "batch length"], device: str | torch.device
) -> tuple[Int[Tensor, "batch context_length"], Int[Tensor, "batch context_length"]]:
    """Return inputs and targets on the device, to which pinned windows are copied meanwhile."""
    moved = windows.to(device, non_blocking=True)
    return moved[:, :-1], moved[:, 1:]


@dataclass(frozen=True)
class SequenceSampler:
    """Number all sequences of a run: sequence k begins at a pseudo-random place given by (seed, k).

    Philox is a block cipher in counter mode (Salmon et al. 2011): number k is computed, not
    reached. Its raw output is the same in every version of numpy, which that of
    `Generator.integers` is not promised to be.
    """

    seed: int
    num_tokens: int
    context_length: int
    batch_size: int
    documents: npt.NDArray[np.int64] | None = None
    """Where documents begin, in order, with their separator; a window that would begin less than a
    window's length after one of these begins there instead, or at the token after it."""
    mixture: Mixture | None = None
    """How often to draw from which part; None draws from all tokens alike."""
    rank: int = 0
    size: int = 1
    """This process among so many, of which each takes an equal share of every step's sequences."""

    def starts(self, step: int) -> npt.NDArray[np.int64]:
        """Return where the sequences of `step` (counted from 1) begin, in their order.

        Of several processes, each gets its own."""
        generator = np.random.Philox(key=self.seed, counter=[0, 0, 0, step])
        # 2^64 exceeds any number of starts so far that the remainder's bias is below 1e-8.
        if self.mixture is None:
            raw = generator.random_raw(self.batch_size)
            drawn = (raw % np.uint64(self.num_tokens - self.context_length)).astype(np.int64)
        else:
            raw = generator.random_raw((self.batch_size, 2))
            drawn = self.mixture.starts(raw, self.context_length)
        if self.documents is None:
            return drawn[self._share]
        begun = self.documents[np.searchsorted(self.documents, drawn, side="right") - 1]
        # By turns with the separator and right after it: a model is prompted in either way.
        turn = np.arange(self.batch_size) % 2 * (begun > 0)
        begun = np.minimum(begun + turn, self.num_tokens - self.context_length - 1)
        return np.where(drawn - begun < self.context_length, begun, drawn)[self._share]

    @property
    def _share(self) -> slice:
        return slice(self.rank, None, self.size)


def document_starts(tokens: TokenArray, separator: int) -> npt.NDArray[np.int64]:
    """Return where documents begin: at 0 and with each `separator`, unless nothing follows it.

    The separator is what a model is given to begin a document, so windows begin with it.
    """
    # A text may begin with a separator; the one that ends it begins nothing.
    starts = np.unique(np.append(separator_places(tokens, separator), 0))
    return starts[starts < max(len(tokens) - 1, 1)]
