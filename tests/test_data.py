"""Batches through the adapter, against numpy's view of the same windows."""

import numpy as np
import pytest
import torch
from adapters import run_get_batch

TOKENS, CONTEXT, BATCH = 101, 7, 31


def test_batch_holds_windows_of_the_dataset() -> None:
    dataset = np.random.default_rng(3).integers(0, 997, TOKENS)
    inputs, targets = run_get_batch(dataset, BATCH, CONTEXT, "cpu")
    windows = np.lib.stride_tricks.sliding_window_view(dataset, CONTEXT + 1)
    known = {tuple(window) for window in windows.tolist()}
    for x, y in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert (*x, y[-1]) in known
        assert x[1:] == y[:-1]


def test_batch_has_the_shape_and_type_of_token_ids() -> None:
    inputs, targets = run_get_batch(np.arange(TOKENS), BATCH, CONTEXT, "cpu")
    assert inputs.shape == targets.shape == (BATCH, CONTEXT)
    assert inputs.dtype == targets.dtype == torch.int64


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int64"])
def test_every_type_of_token_file_is_taken(dtype: str) -> None:
    dataset = np.arange(TOKENS).astype(dtype)
    inputs, targets = run_get_batch(dataset, BATCH, CONTEXT, "cpu")
    assert torch.equal(targets, inputs + 1)


def test_first_and_last_start_are_drawn_and_none_beyond() -> None:
    starts = torch.cat(
        [run_get_batch(np.arange(TOKENS), BATCH, CONTEXT, "cpu")[0][:, 0] for _ in range(97)]
    )
    assert set(starts.tolist()) == set(range(TOKENS - CONTEXT))


def test_starts_are_uniform() -> None:
    rounds = 400
    starts = torch.cat(
        [run_get_batch(np.arange(TOKENS), BATCH, CONTEXT, "cpu")[0][:, 0] for _ in range(rounds)]
    )
    counts = np.bincount(starts.numpy(), minlength=TOKENS - CONTEXT)
    mean = BATCH * rounds / (TOKENS - CONTEXT)
    # Six standard deviations of a binomial count.
    assert np.abs(counts - mean).max() < 6 * np.sqrt(mean)


def test_memory_map_is_read_in_place(tmp_path: object) -> None:
    path = f"{tmp_path}/tokens.npy"
    np.save(path, np.arange(TOKENS, dtype=np.uint16))
    dataset = np.load(path, mmap_mode="r")
    inputs, targets = run_get_batch(dataset, BATCH, CONTEXT, "cpu")
    assert torch.equal(targets, inputs + 1)


def test_device_that_is_not_there_is_reported_by_torch() -> None:
    # Torch says either that it was not compiled with CUDA, or that it finds no (such) GPU.
    with pytest.raises((RuntimeError, AssertionError), match=r"CUDA|NVIDIA"):
        run_get_batch(np.arange(TOKENS), BATCH, CONTEXT, "cuda:99")
