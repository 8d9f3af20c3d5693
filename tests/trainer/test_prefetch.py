import threading
import time

import numpy as np
import pytest
import torch

from trainer.batches import SequenceSampler, gather_windows
from trainer.prefetch import AHEAD, Prefetcher

CPU = torch.device("cpu")
TOKENS = np.random.default_rng(3).integers(0, 70_000, 1009).astype(np.uint32)


class Slow(SequenceSampler):
    """Takes its time now and then, and counts the steps that were asked for."""

    def starts(self, step: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        time.sleep(0.003 * (step % 3 == 0))
        asked.append(step)
        return super().starts(step)


asked: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    asked.clear()


def slow(num_tokens: int = len(TOKENS)) -> Slow:
    return Slow(seed=5, num_tokens=num_tokens, context_length=13, batch_size=7)


@pytest.mark.parametrize("first", [1, 11])
def test_batches_are_those_of_their_steps_bit_by_bit(first: int) -> None:
    sequences = slow()
    with Prefetcher(sequences, TOKENS, CPU, first=first) as batches:
        for step in range(first, first + 17):
            time.sleep(0.002 * (step % 2))
            starts = SequenceSampler.starts(sequences, step)
            for found, expected in zip(
                batches.next(), gather_windows(TOKENS, starts, 13, CPU), strict=True
            ):
                assert found.dtype == torch.int64
                assert torch.equal(found, expected)


def test_no_more_is_made_than_is_soon_needed() -> None:
    with Prefetcher(slow(), TOKENS, CPU, first=1):
        time.sleep(0.2)
        # What waits, and one that the thread holds in its hands.
        assert len(asked) == AHEAD + 1


def test_batches_are_made_while_the_step_computes() -> None:
    with Prefetcher(slow(), TOKENS, CPU, first=1) as batches:
        batches.next()
        deadline = time.monotonic() + 5
        while 2 not in asked and time.monotonic() < deadline:
            time.sleep(0.001)
        assert 2 in asked


def test_thread_ends_with_the_block() -> None:
    before = threading.active_count()
    with Prefetcher(slow(), TOKENS, CPU, first=1) as batches:
        batches.next()
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_error_of_the_thread_reaches_the_step() -> None:
    sequences = slow(num_tokens=10**9)
    raised: list[str] = []

    def wait_for_a_batch() -> None:
        try:
            batches.next()
        except ValueError as error:
            raised.append(str(error))

    with Prefetcher(sequences, TOKENS, CPU, first=1) as batches:
        # In a thread of its own, since an error that is lost would never end the wait.
        step = threading.Thread(target=wait_for_a_batch, daemon=True)
        step.start()
        step.join(timeout=5)
    (message,) = raised
    assert "broadcast" in message


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_batches_arrive_on_the_device_whole() -> None:
    device, sequences = torch.device("cuda"), slow()
    with Prefetcher(sequences, TOKENS, device, first=1) as batches:
        for step in range(1, 101):
            inputs, _ = batches.next()
            expected, _ = gather_windows(TOKENS, SequenceSampler.starts(sequences, step), 13, CPU)
            assert inputs.device.type == "cuda"
            assert torch.equal(inputs.cpu(), expected)
