"""Value embeddings: the tables, where they enter, and that only the named layers have one."""

from typing import Any

import pytest
import torch

from nn import Linear, ModelConfig, MultiHeadSelfAttention, TransformerLM, ValueEmbedding


def build(**choices: Any) -> TransformerLM:
    sizes = {"vocab_size": 53, "context_length": 11, "d_model": 24, "num_layers": 3, "num_heads": 6}
    return TransformerLM(
        ModelConfig(**(sizes | choices)), generator=torch.Generator().manual_seed(3)
    )


def test_tables_are_in_the_state_dict_of_the_named_layers() -> None:
    state = build(value_embeddings=(0, 2), num_kv_heads=2).state_dict()
    added = {name: weight.shape for name, weight in state.items() if "value_emb" in name}
    assert added == {
        "value_embeddings.0.weight": (53, 8),
        "value_embeddings.0.scale": (),
        "value_embeddings.2.weight": (53, 8),
        "value_embeddings.2.scale": (),
    }


def test_value_is_the_row_of_the_token_times_the_scale() -> None:
    table = ValueEmbedding(7, 5)
    assert torch.equal(table(torch.tensor([[3], [2]])), table.weight[[3, 2]].unsqueeze(1) * 0.5)


def test_values_are_added_to_those_of_the_projection() -> None:
    attention = MultiHeadSelfAttention(12, 3)
    x, values = torch.randn(2, 5, 12), torch.randn(2, 5, 12)
    shifted = MultiHeadSelfAttention(12, 3)
    shifted.load_state_dict(attention.state_dict())

    class ShiftedProjection(Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + values

    projection = ShiftedProjection(12, 12)
    projection.load_state_dict(attention.v_proj.state_dict())
    shifted.v_proj = projection
    torch.testing.assert_close(attention(x, values=values), shifted(x), rtol=0, atol=1e-6)
    assert not torch.allclose(attention(x), shifted(x), atol=1e-2)


@pytest.mark.parametrize("num_kv_heads", [2, 6])
def test_model_without_scale_is_the_model_without_tables(num_kv_heads: int) -> None:
    token_ids = torch.randint(53, (2, 7))
    model = build(value_embeddings=(1,), num_kv_heads=num_kv_heads)
    plain = build(num_kv_heads=num_kv_heads)(token_ids)
    assert not torch.allclose(model(token_ids), plain, atol=1e-2)
    with torch.no_grad():
        model.get_parameter("value_embeddings.1.scale").zero_()
    assert torch.equal(model(token_ids), plain)


def test_table_of_a_layer_reaches_that_layer() -> None:
    model, token_ids = build(value_embeddings=(0, 2)), torch.randint(53, (2, 7))
    inputs: dict[int, Any] = {}
    for index, layer in enumerate(model.layers):
        layer.register_forward_pre_hook(
            lambda _, __, named, index=index: inputs.update({index: named["values"]}),
            with_kwargs=True,
        )
    model(token_ids)
    assert inputs[1] is None
    for index, table in ((0, model.value_embeddings["0"]), (2, model.value_embeddings["2"])):
        assert isinstance(table, ValueEmbedding)
        assert torch.equal(inputs[index], table(token_ids))
