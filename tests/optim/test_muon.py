"""Muon against `torch.optim.Muon`, and Newton-Schulz against the singular value decomposition."""

import io
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Parameter

from optim import Muon, newton_schulz

# Wide, tall, square; two of one shape, which are orthogonalized as a batch.
SHAPES = [(3, 11), (13, 5), (7, 7), (3, 11)]


def parameters(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    generator = torch.Generator().manual_seed(19)
    return [Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def run(optimizer: torch.optim.Optimizer, params: list[Parameter], steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
        optimizer.step()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lr": 0.02, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
        {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw"},
        {"lr": 0.02, "adjust_lr_fn": "spectral_unclamped"},
        {"lr": 0.02, "adjust_lr_fn": "original", "weight_decay": 0.7},
    ],
)
def test_muon_without_newton_schulz_equals_torch(settings: dict[str, Any]) -> None:
    """With the polynomial x the update is the normalized momentum: no rounding hides a mistake."""
    ours, theirs = parameters(), parameters()
    run(Muon(ours, ns_coefficients=(1.0, 0.0, 0.0), **settings), ours, range(17))
    oracle = torch.optim.Muon(theirs, ns_coefficients=(1.0, 0.0, 0.0), **settings)
    run(oracle, theirs, range(17))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("ns_steps", [1, 5])
def test_muon_equals_torch_over_many_steps(ns_steps: int) -> None:
    """The products are in bfloat16, where another order of summation flips a last bit (4e-3)."""
    ours, theirs = parameters(), parameters()
    run(Muon(ours, lr=0.02, ns_steps=ns_steps), ours, range(17))
    run(torch.optim.Muon(theirs, lr=0.02, ns_steps=ns_steps), theirs, range(17))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-4)


def test_float32_inside_is_what_auto_takes_on_a_cpu_and_bfloat16_what_torch_takes() -> None:
    found = {}
    for name in ("bfloat16", "float32", "auto"):
        params = parameters()
        run(Muon(params, lr=0.02, ns_dtype=name), params, range(3))
        found[name] = torch.cat([p.flatten() for p in params])
    assert torch.equal(found["auto"], found["float32"])
    assert 1e-5 < (found["bfloat16"] - found["float32"]).abs().max() < 1e-2


def test_float32_inside_passes_a_last_bit_on_as_a_last_bit() -> None:
    matrix = torch.randn(5, 3, 13, generator=torch.Generator().manual_seed(7))
    nudged = matrix * (1 + 2**-23)
    exact = newton_schulz(matrix, dtype=torch.float32)
    assert exact.dtype == torch.float32
    torch.testing.assert_close(newton_schulz(nudged, dtype=torch.float32), exact, rtol=0, atol=2e-6)


def test_unknown_dtype_inside_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ns_dtype='half' must be one of"):
        Muon(parameters(), ns_dtype="half")


def test_bfloat16_step_equals_torch_to_a_last_bit() -> None:
    ours, theirs = parameters(torch.bfloat16), parameters(torch.bfloat16)
    run(Muon(ours, lr=0.02), ours, range(1))
    run(torch.optim.Muon(theirs, lr=0.02), theirs, range(1))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=2**-7, atol=1e-3)


def test_bfloat16_step_is_the_float32_step_rounded_once() -> None:
    """Torch's rounds rate, decay and sum to bfloat16; a decay below 1/512 is lost in that."""
    ours = parameters(torch.bfloat16)
    exact = [Parameter(p.detach().float()) for p in ours]
    run(Muon(ours, lr=0.02), ours, range(1))
    oracle: torch.optim.Optimizer = torch.optim.Muon(exact, lr=0.02)
    generator = torch.Generator().manual_seed(0)
    for p in exact:
        p.grad = torch.randn(p.shape, generator=generator).bfloat16().float()
    oracle.step()
    for a, b in zip(ours, exact, strict=True):
        assert torch.equal(a, b.bfloat16())


@given(st.integers(1, 23), st.integers(1, 23), st.integers(0, 2**31))
def test_newton_schulz_keeps_singular_vectors(rows: int, columns: int, seed: int) -> None:
    """U^T X V is nearly diagonal, and its diagonal nearly 1, for X of well separated values."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(rows, columns)
    u = torch.linalg.qr(torch.randn(rows, rank, generator=generator)).Q
    v = torch.linalg.qr(torch.randn(columns, rank, generator=generator)).Q
    values = torch.linspace(0.1, 1.0, rank)
    result = newton_schulz(u * values @ v.T).float()
    core = u.T @ result @ v
    assert (core - core.diag().diag()).abs().max() < 0.1
    assert core.diag().min() > 0.5
    assert core.diag().max() < 1.4


def test_newton_schulz_of_a_batch_is_that_of_each() -> None:
    batch = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(2))
    together = newton_schulz(batch)
    assert torch.equal(together[1, 2], newton_schulz(batch[1, 2]))


def test_newton_schulz_ignores_scale() -> None:
    matrix = torch.randn(5, 7, generator=torch.Generator().manual_seed(3))
    assert torch.equal(newton_schulz(matrix), newton_schulz(matrix * 1024))


def test_newton_schulz_of_zeros_is_zero() -> None:
    assert torch.equal(newton_schulz(torch.zeros(3, 5)), torch.zeros(3, 5, dtype=torch.bfloat16))


def test_resume_from_state_dict_is_bitwise_identical() -> None:
    straight, cut = parameters(torch.bfloat16), parameters(torch.bfloat16)
    run(Muon(straight, lr=0.02), straight, range(9))
    first = Muon(cut, lr=0.02)
    run(first, cut, range(4))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = Muon(cut)
    second.load_state_dict(torch.load(file, weights_only=True))
    run(second, cut, range(4, 9))
    for a, b in zip(straight, cut, strict=True):
        assert torch.equal(a, b)


def test_momentum_of_a_bfloat16_parameter_is_float32_after_resume() -> None:
    params = parameters(torch.bfloat16)
    optimizer = Muon(params)
    run(optimizer, params, range(1))
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state[params[0]]["momentum_buffer"].dtype == torch.float32


def test_parameter_without_gradient_stays() -> None:
    params = parameters()
    before = params[1].detach().clone()
    optimizer = Muon(params, weight_decay=0.5)
    params[0].grad = torch.ones(SHAPES[0])
    optimizer.step()
    assert torch.equal(params[1], before)


def test_vector_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"parameter 'ln\.weight' has shape \(5,\)"):
        Muon([("proj", Parameter(torch.ones(3, 5))), ("ln.weight", Parameter(torch.ones(5)))])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, r"^lr=-1.0 must be"),
        ({"momentum": 1.0}, r"^momentum=1.0 must be in \[0, 1\)$"),
        ({"weight_decay": -0.1}, r"^weight_decay=-0.1 must be"),
        ({"eps": float("nan")}, r"^eps=nan must be"),
        ({"ns_steps": 100}, r"^ns_steps=100 must be in \[1, 100\)$"),
        ({"ns_coefficients": (1.0, 2.0)}, r"^ns_coefficients=\(1.0, 2.0\) must be three"),
        ({"adjust_lr_fn": "rms"}, r"^adjust_lr_fn='rms' must be one of \('original', 'match"),
    ],
)
def test_bad_setting_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Muon(parameters(), **settings)
