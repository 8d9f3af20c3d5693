from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.batches import SequenceSampler, document_starts, gather_windows, get_batch


def sampler(**changes: int) -> SequenceSampler:
    values: dict[str, Any] = {
        "seed": 3,
        "num_tokens": 1009,
        "context_length": 13,
        "batch_size": 7,
    } | changes
    return SequenceSampler(**values)


@given(
    num_tokens=st.integers(2, 97),
    context_length=st.integers(1, 13),
    batch_size=st.integers(1, 11),
    step=st.integers(0, 2**40),
)
def test_windows_lie_inside_the_tokens(
    num_tokens: int, context_length: int, batch_size: int, step: int
) -> None:
    if num_tokens <= context_length:
        num_tokens += context_length
    starts = sampler(
        num_tokens=num_tokens, context_length=context_length, batch_size=batch_size
    ).starts(step)
    assert len(starts) == batch_size
    assert starts.min() >= 0
    assert starts.max() + context_length + 1 <= num_tokens


def test_sequences_are_a_function_of_seed_and_step() -> None:
    forward = [sampler().starts(step).tolist() for step in range(5)]
    backward = [sampler().starts(step).tolist() for step in reversed(range(5))]
    assert forward == backward[::-1]


@pytest.mark.parametrize(("seed", "step"), [(4, 11), (3, 12)])
def test_another_seed_or_step_gives_other_sequences(seed: int, step: int) -> None:
    assert sampler(seed=seed).starts(step).tolist() != sampler().starts(11).tolist()


def test_larger_batch_begins_with_the_smaller_one() -> None:
    # What a process takes of a step depends on its share alone, not on how many there are.
    assert sampler(batch_size=11).starts(5)[:7].tolist() == sampler().starts(5).tolist()


def test_sequences_are_those_of_every_version() -> None:
    # A change here breaks the resuming of every run that exists.
    assert sampler().starts(1).tolist() == [101, 932, 196, 492, 416, 803, 383]


def test_every_start_is_equally_likely() -> None:
    few = sampler(num_tokens=24, context_length=13, batch_size=5000)
    counts = np.bincount(few.starts(1), minlength=11)
    assert len(counts) == 11
    # Five standard deviations of a binomial count.
    assert np.abs(counts - 5000 / 11).max() < 5 * np.sqrt(5000 / 11 * 10 / 11)


def test_window_in_the_first_length_of_a_document_begins_with_it() -> None:
    documents = np.array([0, 47, 400, 900])
    anywhere = sampler(batch_size=500).starts(1)
    moved = SequenceSampler(3, 1009, 13, 500, documents).starts(1)
    for place, (drawn, start) in enumerate(zip(anywhere, moved, strict=True)):
        begun = documents[documents <= drawn].max()
        begun += place % 2 * (begun > 0)
        assert start == (begun if drawn - begun < 13 else drawn)
    # All four documents with and without their separators, and places inside of the long ones.
    assert {*documents, *(documents[1:] + 1)} < set(moved)


def test_document_at_the_end_still_fills_a_window() -> None:
    # Of 14 tokens a window of 13 and its last target take all.
    starts = SequenceSampler(3, 27, 13, 50, np.array([0, 13])).starts(1)
    assert starts.max() == 13


def test_documents_begin_with_separators() -> None:
    tokens = np.array([7, 2, 3, 2, 2, 5, 2], dtype=np.uint16)
    assert document_starts(tokens, 2).tolist() == [0, 1, 3, 4]


def test_separator_at_the_beginning_begins_one_document() -> None:
    assert document_starts(np.array([2, 7, 2, 3], dtype=np.uint16), 2).tolist() == [0, 2]


def test_text_without_a_separator_is_one_document() -> None:
    assert document_starts(np.array([7, 3, 5], dtype=np.uint16), 2).tolist() == [0]


def test_documents_are_found_in_every_part_that_is_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = np.array([7, 2, 3, 2, 2, 5, 2, 9], dtype=np.uint16)
    expected = document_starts(tokens, 2).tolist()
    monkeypatch.setattr("trainer.mixture._SEARCHED", 3)
    assert document_starts(tokens, 2).tolist() == expected == [0, 1, 3, 4, 6]


def test_targets_are_the_inputs_one_token_later() -> None:
    tokens = np.arange(100, 200, dtype=np.uint16)
    inputs, targets = gather_windows(tokens, np.array([0, 7, 86]), 13, "cpu")
    assert inputs[:, 0].tolist() == [100, 107, 186]
    assert torch.equal(targets, inputs + 1)
    assert inputs.dtype == targets.dtype == torch.int64


def test_large_ids_do_not_wrap() -> None:
    tokens = np.full(20, 70_001, dtype=np.uint32)
    inputs, _ = gather_windows(tokens, np.array([0]), 13, "cpu")
    assert set(inputs.flatten().tolist()) == {70_001}


def test_batch_of_a_generator_can_be_drawn_again() -> None:
    tokens = np.arange(1009)
    first, second = (
        get_batch(tokens, 5, 7, "cpu", generator=torch.Generator().manual_seed(3))[0]
        for _ in range(2)
    )
    assert torch.equal(first, second)


def test_too_few_tokens_for_a_window_are_refused() -> None:
    with pytest.raises(ValueError, match="13 tokens are too few for context_length=13: 14"):
        get_batch(np.arange(13), 5, 13, "cpu")


@given(size=st.integers(1, 7), step=st.integers(1, 1000))
def test_processes_cut_the_sequences_of_a_step_among_them(size: int, step: int) -> None:
    whole = SequenceSampler(3, 1009, 11, 7 * size)
    shares = [
        SequenceSampler(3, 1009, 11, 7 * size, rank=rank, size=size).starts(step)
        for rank in range(size)
    ]
    assert [len(share) for share in shares] == [7] * size
    assert np.stack(shares, axis=1).flatten().tolist() == whole.starts(step).tolist()
