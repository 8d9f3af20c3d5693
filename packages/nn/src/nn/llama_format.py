"""How transformers' Llama names, orders and configures what a `TransformerLM` holds.

The two are one architecture. A Llama turns coordinates (k, k + d/2) of a head together where we
turn (2k, 2k + 1), so the rows of the query and key projections change places.
"""

from dataclasses import fields
from typing import Any

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from contracts import contract
from nn.config import ModelConfig

_LAYER_NAMES = {
    "attn.q_proj.weight": "self_attn.q_proj.weight",
    "attn.k_proj.weight": "self_attn.k_proj.weight",
    "attn.v_proj.weight": "self_attn.v_proj.weight",
    "attn.output_proj.weight": "self_attn.o_proj.weight",
    "ffn.w1.weight": "mlp.gate_proj.weight",
    "ffn.w2.weight": "mlp.down_proj.weight",
    "ffn.w3.weight": "mlp.up_proj.weight",
    "ln1.weight": "input_layernorm.weight",
    "ln2.weight": "post_attention_layernorm.weight",
}
# What a Llama can have in any value; of all else, only the default of `ModelConfig`.
_FREE_FIELDS = {
    "vocab_size",
    "context_length",
    "d_model",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "d_ff",
    "rope_theta",
    "norm_eps",
    "tied_embeddings",
    "zero_init_outputs",
}


def llama_names(config: ModelConfig) -> dict[str, str]:
    """Map each name in our state dict to the one in a Llama's; a tied projection has none."""
    names = {
        "token_embeddings.weight": "model.embed_tokens.weight",
        "ln_final.weight": "model.norm.weight",
    }
    if not config.tied_embeddings:
        names["lm_head.weight"] = "lm_head.weight"
    for layer in range(config.num_layers):
        for ours, theirs in _LAYER_NAMES.items():
            names[f"layers.{layer}.{ours}"] = f"model.layers.{layer}.{theirs}"
    return names


@contract
def split_pairs(
    name: str, weight: Float[Tensor, "..."], config: ModelConfig
) -> Float[Tensor, "..."]:
    """Order the rows of the projection that we call `name` as a Llama does; other weights stay."""
    heads = _turned_heads(name, config)
    if heads is None:
        return weight
    return rearrange(weight, "(heads half two) d -> (heads two half) d", heads=heads, two=2)


@contract
def join_pairs(
    name: str, weight: Float[Tensor, "..."], config: ModelConfig
) -> Float[Tensor, "..."]:
    """Undo `split_pairs`."""
    heads = _turned_heads(name, config)
    if heads is None:
        return weight
    return rearrange(weight, "(heads two half) d -> (heads half two) d", heads=heads, two=2)


def _turned_heads(name: str, config: ModelConfig) -> int | None:
    if name.endswith("attn.q_proj.weight"):
        return config.num_heads
    return config.resolved_num_kv_heads if name.endswith("attn.k_proj.weight") else None


def check_expressible(config: ModelConfig) -> None:
    """Raise ValueError that names every choice which a Llama does not have."""
    foreign = [
        f"model.{field.name}={getattr(config, field.name)!r}"
        for field in fields(ModelConfig)
        if field.name not in _FREE_FIELDS and getattr(config, field.name) != field.default
    ]
    if foreign:
        raise ValueError(f"transformers' Llama has no place for {', '.join(foreign)}")


def to_llama_config(config: ModelConfig) -> dict[str, Any]:
    """Return config.json of a Llama, without dtype and special tokens."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.resolved_num_kv_heads,
        "head_dim": config.d_head,
        "intermediate_size": config.resolved_d_ff,
        "rope_theta": float(config.rope_theta),
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
    }


def from_llama_config(values: dict[str, Any]) -> ModelConfig:
    """Read config.json of a Llama; raise ValueError that names what cannot be expressed here.

    What a file leaves out has the value that transformers gives it.
    """
    _check_llama(values)
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
        if name not in values:
            raise ValueError(f"{name} is missing")
    if "intermediate_size" not in values:
        raise ValueError("intermediate_size is missing")
    rope = values.get("rope_parameters") or {}
    config = ModelConfig(
        vocab_size=values["vocab_size"],
        context_length=values.get("max_position_embeddings", 2048),
        d_model=values["hidden_size"],
        num_layers=values["num_hidden_layers"],
        num_heads=values["num_attention_heads"],
        num_kv_heads=values.get("num_key_value_heads"),
        d_ff=values["intermediate_size"],
        rope_theta=rope.get("rope_theta", values.get("rope_theta", 10_000.0)),
        norm_eps=values.get("rms_norm_eps", 1e-6),
        tied_embeddings=values.get("tie_word_embeddings", False),
    )
    d_head = values.get("head_dim")
    if d_head is not None and d_head != config.d_head:
        raise ValueError(
            f"head_dim={d_head!r} is not hidden_size / num_attention_heads = {config.d_head}, "
            "which cannot be expressed"
        )
    return config


def _check_llama(values: dict[str, Any]) -> None:
    if values.get("model_type") != "llama":
        raise ValueError(f"model_type is {values.get('model_type')!r:.40}, not 'llama'")
    expected = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
    for name, value in expected.items():
        if values.get(name, value) != value:
            raise ValueError(f"{name}={values[name]!r:.40} cannot be expressed, only {value!r}")
    if values.get("quantization_config") is not None:
        raise ValueError("quantization_config: quantized weights cannot be expressed")
    # One of the two, by the release of transformers that wrote the file.
    for name in ("rope_scaling", "rope_parameters"):
        rope = values.get(name)
        if rope is None:
            continue
        kind = rope.get("rope_type", rope.get("type", "default")) if isinstance(rope, dict) else ""
        if kind != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
            raise ValueError(f"{name}={rope!r:.80} cannot be expressed, only unscaled angles")
