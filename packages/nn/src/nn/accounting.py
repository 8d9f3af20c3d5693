"""What a model costs, from its config alone: parameters, FLOPs, memory, time.

Counts are given by part, as dictionaries with the keys of `PARTS`. A product of (m, k) and (k, n)
costs 2 m k n FLOPs; what is done element by element is not counted. Attention is counted in full,
as is usual, although half of it is masked. Activations are the numbers that automatic
differentiation keeps from the forward pass to the loss for the backward pass, in eager float32: by
the functions for speed, or with `plain=True` by the plain ones, whose scores grow with the context.
"""

import dataclasses

from nn.config import ModelConfig

PARTS = (
    "token_embeddings",
    "value_embeddings",
    "attention_projections",
    "attention_scores",
    "ffn",
    "norms",
    "lm_head",
)

# GPT-2's vocabulary, context and widths (Radford et al. 2019, table 2) in this architecture.
PRESETS = {
    "default": ModelConfig(),
    "gpt2": ModelConfig(
        vocab_size=50_257, context_length=1024, d_model=768, num_layers=12, num_heads=12
    ),
    "gpt2-medium": ModelConfig(
        vocab_size=50_257, context_length=1024, d_model=1024, num_layers=24, num_heads=16
    ),
    "gpt2-large": ModelConfig(
        vocab_size=50_257, context_length=1024, d_model=1280, num_layers=36, num_heads=20
    ),
    "gpt2-xl": ModelConfig(
        vocab_size=50_257, context_length=1024, d_model=1600, num_layers=48, num_heads=25
    ),
}


def count_parameters(config: ModelConfig) -> dict[str, int]:
    """Count the weights of each part; tied embeddings count once, as embeddings."""
    d_model, layers = config.d_model, config.num_layers
    d_kv = config.resolved_num_kv_heads * config.d_head
    norms = 0
    if config.norm == "rms":
        norms += (2 * layers + 1) * d_model
    if config.qk_norm:
        norms += layers * 2 * config.d_head
    return {
        "token_embeddings": config.vocab_size * d_model,
        "value_embeddings": len(config.value_embeddings) * (config.vocab_size * d_kv + 1),
        "attention_projections": layers * (2 * d_model * d_model + 2 * d_model * d_kv),
        "attention_scores": 0,
        "ffn": layers * _ffn_matrices(config) * d_model * config.resolved_d_ff,
        "norms": norms,
        "lm_head": 0 if config.tied_embeddings else config.vocab_size * d_model,
    }


def count_forward_flops(
    config: ModelConfig, *, context_length: int | None = None
) -> dict[str, int]:
    """Count the FLOPs of a forward pass per token, in sequences of `context_length` tokens.

    Each weight of a matrix costs 2; attention costs 2 d_model per key for the scores and as much
    again for the weighted values.
    """
    context = config.context_length if context_length is None else context_length
    weights = count_parameters(config)
    return {
        "token_embeddings": 0,
        "value_embeddings": 0,
        "attention_projections": 2 * weights["attention_projections"],
        "attention_scores": config.num_layers * 4 * context * config.d_model,
        "ffn": 2 * weights["ffn"],
        "norms": 0,
        "lm_head": 2 * config.vocab_size * config.d_model,
    }


def count_backward_flops(
    config: ModelConfig, *, context_length: int | None = None
) -> dict[str, int]:
    """Count the FLOPs of a backward pass per token: each product needs one for either factor."""
    forward = count_forward_flops(config, context_length=context_length)
    return {part: 2 * flops for part, flops in forward.items()}


def count_activations(
    config: ModelConfig,
    *,
    context_length: int | None = None,
    plain: bool = False,
    checkpointing: bool = False,
) -> dict[str, int]:
    """Count the numbers kept for the backward pass per token, in sequences of `context_length`.

    With `checkpointing`, each block keeps its input, and one, which is computed again, keeps all.
    """
    if checkpointing:
        one = dataclasses.replace(config, num_layers=1, value_embeddings=())
        kept = count_activations(one, context_length=context_length, plain=plain)
        kept["norms"] += (config.num_layers - 1) * config.d_model
        rows = config.resolved_num_kv_heads * config.d_head
        kept["value_embeddings"] = len(config.value_embeddings) * rows
        return kept
    context = config.context_length if context_length is None else context_length
    d_model, d_ff, heads = config.d_model, config.resolved_d_ff, config.num_heads
    kv_heads = config.resolved_num_kv_heads
    d_kv = kv_heads * config.d_head
    if plain:
        # The products keep q, k and v as they enter them, one per query head; then the averaged
        # values before they are divided and after, and the denominators.
        projections, scores = 5 * d_model, heads * (context + 1)
        # SwiGLU keeps w1 x, its sigmoid, its silu, w3 x and the gated product.
        ffn = (5 if config.ffn == "swiglu" else 3) * d_ff
        # Of the logits, their exponentials; of a soft-cap, the tangents.
        logits = config.vocab_size * (1 if config.logit_soft_cap is None else 2)
    else:
        # Attention keeps q, k, v, the averaged values, and the logarithms of the denominators.
        projections, scores = 2 * (d_model + d_kv), heads
        ffn = 3 * d_ff
        # The loss keeps the gradient of its input, which is counted as the last norm's result;
        # that of the output projection is counted as a gradient.
        logits = 0
    # Besides its input, the stream, a norm keeps the inverse root and the result; the plain one
    # also the result before its gain.
    results = 2 if plain else 1
    norms = 0
    stream = 2 * config.num_layers + 1
    if config.norm == "rms":
        norms += stream * (results * d_model + 1)
    if config.qk_norm:
        norms += config.num_layers * (results * (d_model + d_kv) + heads + kv_heads)
    return {
        "token_embeddings": 0,
        # The rows that were looked up, for the gradient of their scale.
        "value_embeddings": len(config.value_embeddings) * d_kv,
        "attention_projections": config.num_layers * projections,
        "attention_scores": config.num_layers * scores,
        "ffn": config.num_layers * ffn,
        "norms": norms + stream * d_model,
        "lm_head": logits,
    }


def count_memory(
    config: ModelConfig,
    *,
    batch_size: int,
    context_length: int | None = None,
    bytes_per_number: int = 4,
    plain: bool = False,
    checkpointing: bool = False,
) -> dict[str, int]:
    """Count the bytes that a training step with AdamW holds at its peak, by what they are for.

    AdamW keeps two moments per weight. Temporary buffers of a single operation are not counted.
    """
    context = config.context_length if context_length is None else context_length
    weights = sum(count_parameters(config).values())
    kept = count_activations(
        config, context_length=context, plain=plain, checkpointing=checkpointing
    )
    per_token = sum(kept.values())
    return {
        "parameters": weights * bytes_per_number,
        "gradients": weights * bytes_per_number,
        "optimizer": 2 * weights * bytes_per_number,
        "activations": batch_size * context * per_token * bytes_per_number,
    }


def largest_batch(
    config: ModelConfig,
    memory: float,
    *,
    context_length: int | None = None,
    bytes_per_number: int = 4,
    plain: bool = False,
) -> int:
    """Return the most sequences whose training step fits `memory` bytes by `count_memory`, or 0."""
    needs = count_memory(
        config,
        batch_size=1,
        context_length=context_length,
        bytes_per_number=bytes_per_number,
        plain=plain,
    )
    per_sequence = needs.pop("activations")
    return max(0, int(memory - sum(needs.values())) // per_sequence)


def training_days(
    config: ModelConfig,
    tokens: float,
    *,
    device_flops: float,
    mfu: float,
    context_length: int | None = None,
) -> float:
    """Return how long one device trains on `tokens`, forward and backward, in days.

    `device_flops` is its peak in FLOP/s, and `mfu` the share of the peak that the model gets to use
    (Chowdhery et al. 2022, "PaLM", appendix B).
    """
    forward = count_forward_flops(config, context_length=context_length)
    backward = count_backward_flops(config, context_length=context_length)
    per_token = sum(forward.values()) + sum(backward.values())
    return tokens * per_token / (mfu * device_flops) / 86_400


def _ffn_matrices(config: ModelConfig) -> int:
    return 3 if config.ffn == "swiglu" else 2
