import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainer.evaluation import bits_per_byte, evaluate, fixed_windows, perplexity


@given(
    num_tokens=st.integers(15, 2000), context_length=st.integers(1, 13), windows=st.integers(1, 40)
)
def test_windows_lie_inside_and_never_overlap(
    num_tokens: int, context_length: int, windows: int
) -> None:
    starts = fixed_windows(num_tokens, context_length, windows)
    assert 1 <= len(starts) <= windows
    assert starts[0] == 0
    assert starts[-1] + context_length + 1 <= num_tokens
    assert (np.diff(starts) >= context_length).all()


def test_many_windows_cover_all_tokens() -> None:
    assert fixed_windows(101, 10, 10**6).tolist() == list(range(0, 100, 10))


def bigram(inputs: Tensor) -> Tensor:
    """Predict with certainty `scale` that the next token is this one plus one."""
    return 3.0 * torch.eye(11).roll(1, dims=1)[inputs]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_loss_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    tokens = (np.arange(101) % 11).astype(np.uint16)
    starts = fixed_windows(101, 10, 10)
    loss = evaluate(bigram, tokens, starts, 10, batch_size=batch_size, device=torch.device("cpu"))
    expected = math.log(math.exp(3) + 10) - 3
    assert loss == pytest.approx(expected, rel=1e-6)


def test_evaluation_reports_how_far_it_is() -> None:
    tokens = (np.arange(101) % 11).astype(np.uint16)
    seen: list[tuple[int, int]] = []
    evaluate(
        bigram,
        tokens,
        fixed_windows(101, 10, 7),
        10,
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
    evaluate(forward, tokens, np.array([0]), 10, batch_size=1, device=torch.device("cpu"))
    assert not outputs[0].requires_grad


def test_uniform_guess_has_the_perplexity_of_the_vocabulary() -> None:
    assert perplexity(math.log(257)) == pytest.approx(257)


def test_hopeless_loss_has_no_finite_perplexity() -> None:
    assert perplexity(1e4) == math.inf


def test_bits_per_byte_of_uniform_bytes_are_eight() -> None:
    assert bits_per_byte(math.log(256), tokens=7, size=7) == pytest.approx(8)
