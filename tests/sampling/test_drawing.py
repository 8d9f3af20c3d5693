"""Draws follow the distribution, and one number decides one row."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sampling import draw


def uniforms(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([1.0, -1.0, 0.3, -float("inf"), 2.0, -3.0])
    count = 50_000
    drawn = draw(logits.expand(count, 6), uniforms(count, 3))
    counts = torch.bincount(drawn, minlength=6)
    expected = torch.softmax(logits.double(), -1) * count
    assert counts[3] == 0
    possible = [0, 1, 2, 4, 5]
    deviation = (counts - expected)[possible] ** 2 / expected[possible]
    # Chi-square with 4 degrees of freedom is below 18.47 in 999 cases of 1000.
    assert deviation.sum() < 18.47


def test_draw_is_the_inverse_of_the_cumulative_distribution() -> None:
    logits = torch.tensor([0.25, 0.5, 0.25]).log().expand(5, 3)
    numbers = torch.tensor([0.0, 0.2499, 0.2501, 0.7499, 0.7501], dtype=torch.float64)
    assert draw(logits, numbers).tolist() == [0, 0, 1, 1, 2]


def test_impossible_tokens_are_never_drawn_at_the_ends() -> None:
    """The first and the last token have probability 0; so have two in the middle."""
    inf = float("inf")
    logits = torch.tensor([-inf, 0.0, -inf, -inf, 0.0, -inf]).expand(2, 6)
    numbers = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, numbers).tolist() == [1, 4]


@given(st.integers(0, 2**31), st.integers(1, 300))
def test_largest_number_draws_a_possible_token(seed: int, vocab: int) -> None:
    logits = 10 * torch.randn(2, vocab, generator=torch.Generator().manual_seed(seed))
    numbers = torch.full((2,), 1 - 2**-53, dtype=torch.float64)
    assert bool((draw(logits, numbers) < vocab).all())


def test_row_does_not_depend_on_other_rows() -> None:
    logits = torch.randn(7, 11, generator=torch.Generator().manual_seed(5))
    numbers = uniforms(7, 5)
    alone = [draw(logits[row], numbers[row]).item() for row in range(7)]
    assert draw(logits, numbers).tolist() == alone
