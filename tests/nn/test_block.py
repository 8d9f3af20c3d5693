"""`TransformerBlock`: the order of norms, sublayers and sums, for each choice."""

from typing import Any

import pytest
import torch

from nn import ModelConfig, TransformerBlock


def build(**choices: Any) -> TransformerBlock:
    config = ModelConfig(context_length=11, d_model=24, num_heads=6, d_ff=13, **choices)
    return TransformerBlock(config)


def test_pre_norm_block_adds_each_sublayer_to_the_stream() -> None:
    block, x = build(), torch.randn(2, 7, 24)
    middle = x + block.attn(block.ln1(x))
    assert torch.equal(block(x), middle + block.ffn(block.ln2(middle)))


def test_post_norm_block_normalises_each_sum() -> None:
    block = build(norm_placement="post")
    x = torch.randn(2, 7, 24)
    middle = block.ln1(x + block.attn(x))
    assert torch.equal(block(x), block.ln2(middle + block.ffn(middle)))


def test_block_without_norms_only_adds() -> None:
    block, x = build(norm="none"), torch.randn(2, 7, 24)
    middle = x + block.attn(x)
    assert torch.equal(block(x), middle + block.ffn(middle))
    assert not [name for name in block.state_dict() if name.startswith("ln")]


def test_block_without_positions_has_no_rope() -> None:
    assert build(position="none").attn.rope is None


def test_block_with_rope_knows_the_order_of_the_past() -> None:
    x = torch.randn(7, 24)
    swapped = x[[1, 0, 2, 3, 4, 5, 6]]
    for position, knows in (("rope", True), ("none", False)):
        block = build(position=position)
        assert torch.allclose(block(x)[-1], block(swapped)[-1], atol=1e-6) != knows


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        ({}, {"ffn.w1.weight", "ffn.w2.weight", "ffn.w3.weight"}),
        ({"ffn": "silu"}, {"ffn.w1.weight", "ffn.w2.weight"}),
    ],
)
def test_block_has_the_state_of_its_ffn(choices: dict[str, str], names: set[str]) -> None:
    state = build(**choices).state_dict()
    assert {name for name in state if name.startswith("ffn.")} == names
    assert {name for name in state if not name.startswith("ffn.")} == {
        "attn.q_proj.weight",
        "attn.k_proj.weight",
        "attn.v_proj.weight",
        "attn.output_proj.weight",
        "ln1.weight",
        "ln2.weight",
    }
