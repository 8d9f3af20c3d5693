"""`ModelConfig`: derived sizes, and one line for each shape that cannot be built."""

import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from nn import ModelConfig


@pytest.mark.parametrize(
    ("choices", "d_ff"),
    [
        ({}, 1408),
        ({"ffn": "silu"}, 2048),
        ({"ffn": "relu2"}, 2048),
        ({"d_ff": 1344}, 1344),
        ({"d_model": 192}, 512),
    ],
)
def test_width_of_the_ffn_follows_from_the_config(choices: dict[str, Any], d_ff: int) -> None:
    assert ModelConfig(**choices).resolved_d_ff == d_ff


def test_key_heads_are_as_many_as_query_heads_unless_given() -> None:
    assert ModelConfig(num_heads=8).resolved_num_kv_heads == 8
    assert ModelConfig(num_heads=8, num_kv_heads=2).resolved_num_kv_heads == 2


def test_head_size_is_the_share_of_a_head() -> None:
    assert ModelConfig(d_model=96, num_heads=4).d_head == 24


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"d_model": 100}, "model.d_model=100 is not divisible by model.num_heads=16"),
        ({"num_kv_heads": 5}, "model.num_heads=16 is not divisible by model.num_kv_heads=5"),
        (
            {"d_model": 112},
            "model.d_model=112 over model.num_heads=16 makes heads of odd size 7, but RoPE turns "
            "pairs: change one, or set model.position='none'",
        ),
        ({"vocab_size": 0}, "model.vocab_size=0 is not a positive integer"),
        ({"num_layers": -2}, "model.num_layers=-2 is not a positive integer"),
        ({"d_ff": 0}, "model.d_ff=0 is not a positive integer"),
        ({"d_model": 512.0}, "model.d_model=512.0 is not a positive integer"),
        ({"num_heads": True}, "model.num_heads=True is not a positive integer"),
        ({"rope_theta": 0.0}, "model.rope_theta=0.0 is not a positive number"),
        ({"rope_theta": "1e4"}, "model.rope_theta='1e4' is not a positive number"),
        ({"rope_theta": float("nan")}, "model.rope_theta=nan is not a positive number"),
        ({"norm": "layer"}, "model.norm='layer' is not one of 'rms', 'none'"),
        ({"norm_placement": "mid"}, "model.norm_placement='mid' is not one of 'pre', 'post'"),
        ({"position": "alibi"}, "model.position='alibi' is not one of 'rope', 'none'"),
        ({"ffn": ["relu"]}, "model.ffn=['relu'] is not one of 'swiglu', 'silu', 'relu2'"),
        ({"tied_embeddings": 1}, "model.tied_embeddings=1 is not true or false"),
        ({"zero_init_outputs": None}, "model.zero_init_outputs=None is not true or false"),
        ({"norm_eps": 0.0}, "model.norm_eps=0.0 is not a positive number"),
        ({"logit_soft_cap": -30.0}, "model.logit_soft_cap=-30.0 is not a positive number"),
        ({"logit_soft_cap": True}, "model.logit_soft_cap=True is not a positive number"),
        (
            {"value_embeddings": 2},
            "model.value_embeddings=2 is not a tuple of layer numbers",
        ),
        (
            {"value_embeddings": (1, 4)},
            "model.value_embeddings=(1, 4) are not all in 0..3, the layers of model.num_layers=4",
        ),
        ({"value_embeddings": (2, 2)}, "model.value_embeddings=(2, 2) names a layer twice"),
    ],
)
def test_impossible_shape_is_one_line(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ModelConfig(**choices)


def test_odd_heads_are_fine_without_rope() -> None:
    assert ModelConfig(d_model=112, position="none").d_head == 7


def test_layers_with_value_embeddings_are_a_sorted_tuple() -> None:
    layers: Any = [2, 0]  # As JSON gives them.
    assert ModelConfig(value_embeddings=layers) == ModelConfig(value_embeddings=(0, 2))


def test_config_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        ModelConfig().d_model = 7  # type: ignore[misc]
