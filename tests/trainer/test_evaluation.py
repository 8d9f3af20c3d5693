import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainer.evaluation import (
    FixedWindows,
    bits_per_byte,
    document_windows,
    evaluate,
    fixed_windows,
    perplexity,
)


@given(num_tokens=st.integers(15, 2000), context_length=st.integers(1, 13))
def test_windows_lie_side_by_side(num_tokens: int, context_length: int) -> None:
    windows = fixed_windows(num_tokens, context_length)
    assert windows.starts[0] == 0
    assert num_tokens - context_length <= windows.starts[-1] + context_length + 1 <= num_tokens
    assert (np.diff(windows.starts) == context_length).all()
    assert (windows.counted == context_length).all()


@given(windows=st.integers(1, 40))
def test_fewer_windows_are_spread_over_all(windows: int) -> None:
    chosen = fixed_windows(401, 13).at_most(windows)
    assert len(chosen.starts) == len(chosen.counted) == min(windows, 30)
    assert chosen.starts[0] == 0
    if windows > 1:
        assert chosen.starts[-1] == 29 * 13


documents_and_length = st.tuples(
    st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 13)
).filter(lambda drawn: sum(drawn[0]) > drawn[1])


@given(drawn=documents_and_length)
def test_every_target_of_the_documents_counts_once(drawn: tuple[list[int], int]) -> None:
    lengths, context_length = drawn
    begins = np.cumsum([0, *lengths[:-1]])
    windows = document_windows(begins, sum(lengths), context_length)
    counted = np.zeros(sum(lengths), dtype=int)
    for start, count in zip(windows.starts, windows.counted, strict=True):
        counted[start + 1 : start + count + 1] += 1
    whole = windows.starts[-1] + windows.counted[-1]
    assert counted[0] == 0
    assert (counted[1 : whole + 1] == 1).all()
    assert counted[whole + 1 :].sum() == 0
    # Only what the last windows lack is left out.
    assert sum(lengths) - 1 - whole <= context_length


@given(drawn=documents_and_length)
def test_windows_of_documents_begin_where_a_document_is_cut(
    drawn: tuple[list[int], int],
) -> None:
    lengths, context_length = drawn
    begins = np.cumsum([0, *lengths[:-1]])
    starts = document_windows(begins, sum(lengths), context_length).starts
    offsets = starts - begins[np.searchsorted(begins, starts, side="right") - 1]
    assert (offsets % context_length == 0).all()


def test_targets_that_do_not_count_change_nothing() -> None:
    # The last two targets are what `bigram` thinks least likely.
    tokens = np.array([0, 1, 2, 3, 4, 5, 9, 3], dtype=np.uint16)
    whole = FixedWindows(np.array([0]), np.array([7]), 7)
    part = FixedWindows(np.array([0]), np.array([5]), 7)
    cpu = torch.device("cpu")
    expected = math.log(math.exp(3) + 10) - 3
    assert evaluate(bigram, tokens, part, batch_size=1, device=cpu) == pytest.approx(expected)
    assert evaluate(bigram, tokens, whole, batch_size=1, device=cpu) > expected + 0.5


def bigram(inputs: Tensor) -> Tensor:
    """Predict with certainty `scale` that the next token is this one plus one."""
    return 3.0 * torch.eye(11).roll(1, dims=1)[inputs]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_loss_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    tokens = (np.arange(101) % 11).astype(np.uint16)
    windows = fixed_windows(101, 10)
    loss = evaluate(bigram, tokens, windows, batch_size=batch_size, device=torch.device("cpu"))
    expected = math.log(math.exp(3) + 10) - 3
    assert loss == pytest.approx(expected, rel=1e-6)


def test_evaluation_reports_how_far_it_is() -> None:
    tokens = (np.arange(101) % 11).astype(np.uint16)
    seen: list[tuple[int, int]] = []
    evaluate(
        bigram,
        tokens,
        fixed_windows(101, 10).at_most(7),
        batch_size=3,
        device=torch.device("cpu"),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_evaluation_keeps_no_graph() -> None:
    weight = torch.zeros(11, 11, requires_grad=True)
    outputs: list[Tensor] = []

    def forward(inputs: Tensor) -> Tensor:
        outputs.append(weight[inputs])
        return outputs[-1]

    tokens = np.zeros(30, dtype=np.uint16)
    evaluate(
        forward, tokens, fixed_windows(30, 10).at_most(1), batch_size=1, device=torch.device("cpu")
    )
    assert not outputs[0].requires_grad


def test_uniform_guess_has_the_perplexity_of_the_vocabulary() -> None:
    assert perplexity(math.log(257)) == pytest.approx(257)


def test_hopeless_loss_has_no_finite_perplexity() -> None:
    assert perplexity(1e4) == math.inf


def test_bits_per_byte_of_uniform_bytes_are_eight() -> None:
    assert bits_per_byte(math.log(256), tokens=7, size=7) == pytest.approx(8)
