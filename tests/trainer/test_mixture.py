import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.batches import SequenceSampler
from trainer.mixture import Mixture, check_weights, part_sizes


def sampler(weights: tuple[float, ...], batch_size: int = 7) -> SequenceSampler:
    sizes = (211, 13, 785)
    return SequenceSampler(3, sum(sizes), 11, batch_size, mixture=Mixture(sizes, weights))


@given(
    sizes=st.lists(st.integers(12, 97), min_size=1, max_size=5),
    weights=st.lists(st.sampled_from([0.0, 0.3, 1.0, 5.0]), min_size=5, max_size=5),
    step=st.integers(0, 2**40),
)
def test_windows_lie_inside_one_part_that_has_a_weight(
    sizes: list[int], weights: list[float], step: int
) -> None:
    weights[0] = 2.0
    mixture = Mixture(tuple(sizes), tuple(weights[: len(sizes)]))
    starts = SequenceSampler(5, sum(sizes), 11, 23, mixture=mixture).starts(step)
    ends = np.cumsum(sizes)
    part = np.searchsorted(ends, starts, side="right")
    assert (starts + 11 + 1 <= ends[part]).all()
    assert all(mixture.weights[p] > 0 for p in part)


def test_parts_are_drawn_in_proportion_to_their_weights() -> None:
    starts = sampler((3.0, 1.0, 4.0), batch_size=8000).starts(1)
    counts = np.histogram(starts, [0, 211, 224, 1009])[0]
    # Five standard deviations of a binomial count.
    assert np.abs(counts - [3000, 1000, 4000]).max() < 5 * np.sqrt(8000 / 4)


def test_every_start_in_a_part_is_equally_likely() -> None:
    counts = np.bincount(sampler((0.0, 1.0, 0.0), batch_size=4000).starts(1))[211:]
    assert len(counts) == 2
    assert abs(counts[0] - 2000) < 5 * np.sqrt(1000)


def test_only_the_ratio_of_weights_counts() -> None:
    assert (
        sampler((3.0, 1.0, 4.0)).starts(5).tolist() == sampler((6.0, 2.0, 8.0)).starts(5).tolist()
    )


def test_larger_batch_of_a_mixture_begins_with_the_smaller_one() -> None:
    weights = (3.0, 1.0, 4.0)
    assert sampler(weights, 11).starts(5)[:7].tolist() == sampler(weights).starts(5).tolist()


def test_sequences_of_a_mixture_are_those_of_every_version() -> None:
    # A change here breaks the resuming of every run that has weights.
    assert sampler((3.0, 1.0, 4.0)).starts(1).tolist() == [526, 374, 757, 212, 211, 54, 18]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ((1.0, 2.0), r"2 numbers, but the corpus has 3 file\(s\)"),
        ((1.0, -2.0, 1.0), r"weights\[1\]=-2\.0 is not a number from 0 on"),
        ((1.0, 1.0, float("nan")), r"weights\[2\]=nan"),
        ((1.0, float("inf"), 1.0), r"weights\[1\]=inf"),
        ((0.0, 0.0, 0.0), "are all 0"),
    ],
)
def test_weights_that_are_none_are_refused(weights: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Mixture((5, 7, 11), weights)


def test_no_weights_are_fine() -> None:
    check_weights(())


def test_part_without_a_whole_window_is_named() -> None:
    mixture = Mixture((12, 11, 5), (1.0, 2.0, 0.0))
    with pytest.raises(ValueError, match=r"b\.txt: 11 tokens .* = 12"):
        mixture.check_context(["a.txt", "b.txt", "c.txt"], 11)


def test_parts_end_after_so_many_separators() -> None:
    tokens = np.array([7, 2, 3, 2, 2, 5, 2, 9], dtype=np.uint16)
    assert part_sizes(tokens, 2, [1, 1, 3, 4]) == [2, 0, 3, 3]


def test_short_part_that_is_never_drawn_from_is_fine() -> None:
    Mixture((12, 5), (1.0, 0.0)).check_context(["a.txt", "b.txt"], 11)


def test_least_number_is_not_drawn_from_a_part_without_weight() -> None:
    least = np.zeros((1, 2), dtype=np.uint64)
    assert Mixture((13, 17), (0.0, 1.0)).starts(least, 11).tolist() == [13]


def test_largest_number_is_drawn_from_the_last_part() -> None:
    # Ten times 0.1 add up to less than 1, and this number is not below their sum.
    largest = np.full((1, 2), 2**64 - 1, dtype=np.uint64)
    assert Mixture((13,) * 10, (0.1,) * 10).starts(largest, 12).tolist() == [13 * 9]
