"""RoPE: against the formula and complex numbers, and the two properties that it exists for."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from nn import RotaryPositionalEmbedding, rope


def test_rope_equals_the_formula() -> None:
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    positions = torch.randint(0, 97, (3, 5))
    expected = torch.from_numpy(reference.rope(x.numpy(), positions.numpy(), 100.0))
    turned = RotaryPositionalEmbedding(100.0, 6, 97)(x, positions)
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-6)


def test_rope_equals_a_product_of_complex_numbers() -> None:
    x, angles = torch.randn(3, 5, 14), torch.randn(5, 7)
    turned = torch.view_as_complex(x.reshape(3, 5, 7, 2)) * torch.polar(torch.ones(5, 7), angles)
    expected = torch.view_as_real(turned).flatten(-2)
    torch.testing.assert_close(rope(x, angles.cos(), angles.sin()), expected, rtol=0, atol=1e-6)


def test_rope_counts_positions_from_zero() -> None:
    module, x = RotaryPositionalEmbedding(1e4, 6, 11), torch.randn(2, 3, 5, 6)
    assert torch.equal(module(x), module(x, torch.arange(5)))


def test_rope_takes_positions_for_each_sequence() -> None:
    module, x = RotaryPositionalEmbedding(1e4, 6, 11), torch.randn(2, 3, 5, 6)
    positions = torch.randint(0, 11, (2, 1, 5))
    expected = torch.stack([module(x[i], positions[i, 0]) for i in range(2)])
    assert torch.equal(module(x, positions), expected)


def test_rope_leaves_the_first_position_alone() -> None:
    x = torch.randn(3, 1, 6)
    assert torch.equal(RotaryPositionalEmbedding(1e4, 6, 11)(x), x)


def test_rope_gradient_is_exact() -> None:
    module = RotaryPositionalEmbedding(1e4, 6, 11)
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


@given(st.integers(0, 2**12), st.floats(2, 1e6), st.integers(1, 7))
def test_rope_keeps_norms(position: int, theta: float, pairs: int) -> None:
    x = torch.randn(3, 1, 2 * pairs, generator=torch.Generator().manual_seed(pairs))
    module = RotaryPositionalEmbedding(theta, 2 * pairs, 2**12 + 1)
    turned = module(x, torch.tensor([position]))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-5, atol=0)


@given(st.integers(0, 499), st.integers(0, 499), st.integers(0, 500))
def test_rope_product_depends_on_the_distance_alone(a: int, b: int, shift: int) -> None:
    module = RotaryPositionalEmbedding(1e4, 14, 1000)
    q, k = torch.randn(2, 1, 14, generator=torch.Generator().manual_seed(5))

    def product(i: int, j: int) -> torch.Tensor:
        turned = module(q, torch.tensor([i])) * module(k, torch.tensor([j]))
        return torch.sum(turned)

    torch.testing.assert_close(product(a + shift, b + shift), product(a, b), rtol=0, atol=1e-5)


def test_rope_of_bfloat16_rounds_only_at_the_end() -> None:
    module, x = RotaryPositionalEmbedding(1e4, 6, 11), torch.randn(5, 6, dtype=torch.bfloat16)
    assert torch.equal(module(x), module(x.float()).to(torch.bfloat16))


def test_rope_tables_stay_float32_when_the_module_is_cast() -> None:
    module = RotaryPositionalEmbedding(1e4, 6, 11)
    before = module.cos.clone()
    module.to(torch.bfloat16)
    assert module.cos.dtype == torch.float32
    assert torch.equal(module.cos, before)


def test_rope_tables_are_filled_after_the_meta_device() -> None:
    module = RotaryPositionalEmbedding(1e4, 6, 11, device="meta").to_empty(device="cpu")
    assert torch.equal(module.sin, RotaryPositionalEmbedding(1e4, 6, 11).sin)


def test_rope_tables_are_exact_at_far_positions() -> None:
    # In float32 the angle alone would be off by 2^-8 here.
    module = RotaryPositionalEmbedding(1e4, 2, 100_004)
    assert float(module.cos[100_003, 0]) == np.float32(np.cos(100_003.0))


def test_rope_refuses_angles_for_another_size() -> None:
    with pytest.raises(TypeCheckError, match="cos"):
        rope(torch.randn(5, 6), torch.ones(5, 1), torch.ones(5, 1))


def test_rope_has_no_state() -> None:
    module = RotaryPositionalEmbedding(1e4, 6, 11)
    assert not module.state_dict()
    assert not list(module.parameters())


def test_rope_refuses_an_odd_size() -> None:
    with pytest.raises(ValueError, match=r"^d_k=7 is odd"):
        RotaryPositionalEmbedding(1e4, 7, 11)


def test_rope_refuses_a_sequence_beyond_its_table() -> None:
    with pytest.raises(ValueError, match=r"^13 positions exceed max_seq_len=11$"):
        RotaryPositionalEmbedding(1e4, 6, 11)(torch.randn(13, 6))


@pytest.mark.parametrize("position", [11, -1])
def test_rope_refuses_a_position_beyond_its_table(position: int) -> None:
    module = RotaryPositionalEmbedding(1e4, 6, 11)
    with pytest.raises(IndexError, match=rf"^position {position} at place 1 is outside 0\.\.10$"):
        module(torch.randn(2, 6), torch.tensor([3, position]))


def test_queries_and_keys_turn_together_as_they_do_alone() -> None:
    module = RotaryPositionalEmbedding(1e4, 6, 11)
    q, k = torch.randn(2, 3, 5, 6), torch.randn(2, 1, 5, 6)
    positions = torch.randint(0, 11, (2, 5))
    for each in (None, positions):
        per_head = None if each is None else each[:, None]
        turned_q, turned_k = module.turn_heads(q, k, each)
        assert torch.equal(turned_q, module(q, per_head))
        assert torch.equal(turned_k, module(k, per_head))
