"""Adapters of the model and its parts, against torch's layers and transformers' Llama.

Llama turns coordinates (k, k + d/2) where ours turns (2k, 2k+1), so its query and key projections
get our rows in that order; everything else has the same weights.
"""

import pytest
import torch
import torch.nn.functional as F
from adapters import (
    run_embedding,
    run_linear,
    run_multihead_self_attention,
    run_multihead_self_attention_with_rope,
    run_rmsnorm,
    run_rope,
    run_scaled_dot_product_attention,
    run_silu,
    run_swiglu,
    run_transformer_block,
    run_transformer_lm,
)
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import (
    LlamaDecoderLayer,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)

DTYPES = [torch.float32, torch.bfloat16]
VOCAB, CONTEXT, D_MODEL, LAYERS, HEADS, D_FF, THETA = 53, 19, 24, 3, 2, 37, 1000.0
D_HEAD = D_MODEL // HEADS


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(11)


def close(ours: Tensor, theirs: Tensor) -> None:
    """Compare to 1e-5 in float32, and to a few units of the last place in bfloat16."""
    tolerance = 1e-5 if theirs.dtype == torch.float32 else 2**-6
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def attention_weights(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [torch.randn(D_MODEL, D_MODEL).to(dtype) / D_MODEL**0.5 for _ in range(4)]


def block_weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    q, k, v, o = attention_weights(dtype)
    return {
        "attn.q_proj.weight": q,
        "attn.k_proj.weight": k,
        "attn.v_proj.weight": v,
        "attn.output_proj.weight": o,
        "ln1.weight": torch.rand(D_MODEL, dtype=dtype) + 0.5,
        "ln2.weight": torch.rand(D_MODEL, dtype=dtype) + 0.5,
        "ffn.w1.weight": torch.randn(D_FF, D_MODEL).to(dtype) / D_MODEL**0.5,
        "ffn.w2.weight": torch.randn(D_MODEL, D_FF).to(dtype) / D_FF**0.5,
        "ffn.w3.weight": torch.randn(D_FF, D_MODEL).to(dtype) / D_MODEL**0.5,
    }


def model_weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    weights = {
        "token_embeddings.weight": torch.randn(VOCAB, D_MODEL).to(dtype),
        "ln_final.weight": torch.rand(D_MODEL, dtype=dtype) + 0.5,
        "lm_head.weight": torch.randn(VOCAB, D_MODEL).to(dtype) / D_MODEL**0.5,
    }
    for i in range(LAYERS):
        for name, weight in block_weights(dtype).items():
            weights[f"layers.{i}.{name}"] = weight
    return weights


def halves(weight: Tensor) -> Tensor:
    """Order the rows of each head as Llama has them: all even coordinates, then all odd ones."""
    return weight.view(HEADS, D_HEAD // 2, 2, -1).transpose(1, 2).reshape(weight.shape)


def llama_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a block to Llama's."""
    return {
        "self_attn.q_proj.weight": halves(weights["attn.q_proj.weight"]),
        "self_attn.k_proj.weight": halves(weights["attn.k_proj.weight"]),
        "self_attn.v_proj.weight": weights["attn.v_proj.weight"],
        "self_attn.o_proj.weight": weights["attn.output_proj.weight"],
        "input_layernorm.weight": weights["ln1.weight"],
        "post_attention_layernorm.weight": weights["ln2.weight"],
        "mlp.gate_proj.weight": weights["ffn.w1.weight"],
        "mlp.down_proj.weight": weights["ffn.w2.weight"],
        "mlp.up_proj.weight": weights["ffn.w3.weight"],
    }


def llama_config() -> LlamaConfig:
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=D_MODEL,
        intermediate_size=D_FF,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        tie_word_embeddings=False,
    )
    config._attn_implementation = "eager"
    return config


def llama_angles(x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = LlamaRotaryEmbedding(llama_config())(x, positions)
    return cos, sin


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_equals_torch(dtype: torch.dtype) -> None:
    weight, x = torch.randn(7, 5, dtype=dtype), torch.randn(2, 3, 5, dtype=dtype)
    close(run_linear(5, 7, weight, x), F.linear(x, weight))


@pytest.mark.parametrize("dtype", DTYPES)
def test_embedding_equals_torch(dtype: torch.dtype) -> None:
    weight, ids = torch.randn(11, 5, dtype=dtype), torch.randint(0, 11, (2, 3))
    assert torch.equal(run_embedding(11, 5, weight, ids), F.embedding(ids, weight))


@pytest.mark.parametrize("dtype", DTYPES)
def test_silu_equals_torch(dtype: torch.dtype) -> None:
    x = 5 * torch.randn(2, 3, 5, dtype=dtype)
    close(run_silu(x), F.silu(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_swiglu_equals_llama(dtype: torch.dtype) -> None:
    weights, x = block_weights(dtype), torch.randn(2, 3, D_MODEL, dtype=dtype)
    mlp = LlamaDecoderLayer(llama_config(), 0).mlp.to(dtype)
    w1, w2, w3 = (weights[f"ffn.w{i}.weight"] for i in (1, 2, 3))
    mlp.load_state_dict({"gate_proj.weight": w1, "down_proj.weight": w2, "up_proj.weight": w3})
    close(run_swiglu(D_MODEL, D_FF, w1, w2, w3, x), mlp(x))


@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rmsnorm_equals_torch(eps: float, dtype: torch.dtype) -> None:
    weight, x = torch.randn(7, dtype=dtype), torch.randn(2, 3, 7, dtype=dtype)
    close(run_rmsnorm(7, eps, weight, x), F.rms_norm(x, (7,), weight, eps))


def test_rmsnorm_equals_llama() -> None:
    weight, x = torch.randn(D_MODEL), torch.randn(2, 3, D_MODEL)
    norm = LlamaRMSNorm(D_MODEL, 1e-5)
    norm.load_state_dict({"weight": weight})
    close(run_rmsnorm(D_MODEL, 1e-5, weight, x), norm(x))


def test_rope_equals_llama() -> None:
    x, positions = torch.randn(3, HEADS, 7, D_HEAD), torch.randint(0, CONTEXT, (3, 7))
    cos, sin = llama_angles(x, positions)
    in_halves = x.view(3, HEADS, 7, -1, 2).transpose(-1, -2).flatten(-2)
    turned, _ = apply_rotary_pos_emb(in_halves, in_halves, cos, sin)
    in_pairs = turned.view(3, HEADS, 7, 2, -1).transpose(-1, -2).flatten(-2)
    close(run_rope(D_HEAD, THETA, CONTEXT, x, positions.unsqueeze(1)), in_pairs)


def test_rope_takes_one_row_of_positions_for_the_whole_batch() -> None:
    x, positions = torch.randn(3, 7, D_HEAD), torch.arange(7) + 5
    alone = torch.stack([run_rope(D_HEAD, THETA, CONTEXT, row, positions) for row in x])
    assert torch.equal(run_rope(D_HEAD, THETA, CONTEXT, x, positions), alone)
    assert torch.equal(run_rope(D_HEAD, THETA, CONTEXT, x, positions.unsqueeze(0)), alone)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [(2,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torch(batch: tuple[int, ...], masked: bool, dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(*batch, *shape).to(dtype) for shape in ((5, 7), (11, 7), (11, 3)))
    mask = (torch.rand(*batch, 5, 11) < 0.7) if masked else None
    expected = F.scaled_dot_product_attention(q, k, v, mask)
    close(run_scaled_dot_product_attention(q, k, v, mask), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_multihead_attention_equals_torch(dtype: torch.dtype) -> None:
    q, k, v, o = attention_weights(dtype)
    x = torch.randn(5, 7, D_MODEL, dtype=dtype)
    torchs = torch.nn.MultiheadAttention(D_MODEL, HEADS, bias=False, batch_first=True, dtype=dtype)
    torchs.load_state_dict({"in_proj_weight": torch.cat((q, k, v)), "out_proj.weight": o})
    future = torch.ones(7, 7, dtype=torch.bool).triu(1)
    expected, _ = torchs(x, x, x, attn_mask=future, need_weights=False)
    close(run_multihead_self_attention(D_MODEL, HEADS, q, k, v, o, x), expected)


@pytest.mark.parametrize("start", [None, 0, 5])
def test_multihead_attention_with_rope_equals_llama(start: int | None) -> None:
    weights, x = block_weights(), torch.randn(3, 7, D_MODEL)
    layer = LlamaDecoderLayer(llama_config(), 0)
    layer.load_state_dict(llama_names(weights))
    positions = torch.arange(7).unsqueeze(0) + (start or 0)
    future = torch.full((7, 7), -torch.inf).triu(1)
    expected, _ = layer.self_attn(
        x, position_embeddings=llama_angles(x, positions), attention_mask=future[None, None]
    )
    q, k, v, o = (weights[f"attn.{name}_proj.weight"] for name in ("q", "k", "v", "output"))
    given = None if start is None else positions
    ours = run_multihead_self_attention_with_rope(
        D_MODEL, HEADS, CONTEXT, THETA, q, k, v, o, x, given
    )
    close(ours, expected)


def test_block_equals_llama() -> None:
    weights, x = block_weights(), torch.randn(3, 7, D_MODEL)
    layer = LlamaDecoderLayer(llama_config(), 0)
    layer.load_state_dict(llama_names(weights))
    positions = torch.arange(7).unsqueeze(0)
    future = torch.full((7, 7), -torch.inf).triu(1)
    expected = layer(
        x, position_embeddings=llama_angles(x, positions), attention_mask=future[None, None]
    )
    close(run_transformer_block(D_MODEL, HEADS, D_FF, CONTEXT, THETA, weights, x), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seq", [CONTEXT, 7])
def test_model_equals_llama(seq: int, dtype: torch.dtype) -> None:
    weights, token_ids = model_weights(dtype), torch.randint(0, VOCAB, (3, seq))
    names = {
        "model.embed_tokens.weight": weights["token_embeddings.weight"],
        "model.norm.weight": weights["ln_final.weight"],
        "lm_head.weight": weights["lm_head.weight"],
    }
    for i in range(LAYERS):
        prefix = f"layers.{i}."
        block = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
        names |= {f"model.{prefix}{name}": weight for name, weight in llama_names(block).items()}
    llama = LlamaForCausalLM(llama_config())
    llama.load_state_dict(names, assign=True)
    ours = run_transformer_lm(
        VOCAB, CONTEXT, D_MODEL, LAYERS, HEADS, D_FF, THETA, weights, token_ids
    )
    expected = llama(token_ids).logits
    assert ours.dtype == expected.dtype
    # In bfloat16 each layer rounds, and the two models round in different places.
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)
