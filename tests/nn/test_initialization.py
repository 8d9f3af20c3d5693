"""`truncated_normal`: its distribution, and that the generator alone decides."""

import math

import torch

from nn.initialization import truncated_normal


def test_numbers_follow_the_cut_normal_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = truncated_normal((20_011,), 0.7, generator=generator).double().sort().values
    inside = math.erf(3 / math.sqrt(2))
    expected = 0.5 + torch.special.erf(numbers / 0.7 / math.sqrt(2)) / inside / 2
    found = (torch.arange(20_011) + 0.5) / 20_011
    # Kolmogorov's distance is below 1.63 / sqrt(n) in 99 of 100 draws.
    assert float((found - expected).abs().max()) < 1.63 / math.sqrt(20_011)


def test_tails_are_redrawn_and_not_piled_up_at_the_cut() -> None:
    numbers = truncated_normal((20_011,), 1.0, generator=torch.Generator().manual_seed(0))
    assert int((numbers.abs() > 2.9999).sum()) < 3


def test_same_generator_gives_the_same_numbers() -> None:
    first, second = (
        truncated_normal((5, 7), 1.0, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, second)


def test_dtype_rounds_the_same_numbers() -> None:
    wide, narrow = (
        truncated_normal((5, 7), 1.0, dtype=dtype, generator=torch.Generator().manual_seed(3))
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert torch.equal(wide.to(torch.bfloat16), narrow)


def test_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    truncated_normal((5, 7), 1.0, generator=torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_meta_device_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert truncated_normal((5, 7), 1.0, device="meta", generator=generator).is_meta
    assert torch.equal(generator.get_state(), before)
