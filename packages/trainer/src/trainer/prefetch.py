"""Batches made ahead of the step that needs them, by a thread.

While the device computes a step, the thread reads the windows of the next ones from the disk. What
a step sees is what `gather_windows` gives for it, to the bit: the thread decides when, never what.
"""

import queue
import threading
from types import TracebackType
from typing import Self

import torch
from jaxtyping import Int
from torch import Tensor

from bpe.token_file import TokenArray
from contracts import contract
from trainer.batches import SequenceSampler, move_windows, read_windows

# One being waited for and one being made; more would only hold memory.
AHEAD = 2
# Seconds between two looks at whether a full queue is still wanted.
_PATIENCE = 0.1


class Prefetcher:
    """The batches of the steps from `first` on, in order.

    A context manager: the thread ends with the block. What goes wrong in the thread, such as a file
    that shrinks, is raised by `next`.
    """

    def __init__(
        self,
        sequences: SequenceSampler,
        tokens: TokenArray,
        device: torch.device,
        *,
        first: int,
    ) -> None:
        self._sequences = sequences
        self._tokens = tokens
        self._device = device
        self._step = first
        self._ready: queue.Queue[Tensor | Exception] = queue.Queue(AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._thread.join()

    @contract
    def next(
        self,
    ) -> tuple[Int[Tensor, "batch context_length"], Int[Tensor, "batch context_length"]]:
        """Return inputs and targets of the next step, on the device or on their way to it."""
        windows = self._ready.get()
        if isinstance(windows, Exception):
            raise windows
        return move_windows(windows, self._device)

    def _work(self) -> None:
        try:
            while self._put(self._make()):
                self._step += 1
        except Exception as error:
            self._put(error)

    def _make(self) -> Tensor:
        starts = self._sequences.starts(self._step)
        return read_windows(
            self._tokens, starts, self._sequences.context_length, pin=self._device.type == "cuda"
        )

    def _put(self, item: Tensor | Exception) -> bool:
        """Wait for a free place; return False when the block has ended."""
        while not self._closed.is_set():
            try:
                self._ready.put(item, timeout=_PATIENCE)
            except queue.Full:
                continue
            return True
        return False
