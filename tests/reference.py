"""Naive references in float64 numpy, written like the formulas: a loop per index, no tricks."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def softmax(x: Array) -> Array:
    """Return softmax over the last axis."""
    out = np.empty_like(x)
    for index in np.ndindex(x.shape[:-1]):
        total = sum(math.exp(value) for value in x[index])
        for i, value in enumerate(x[index]):
            out[*index, i] = math.exp(value) / total
    return out


def cross_entropy(logits: Array, targets: npt.NDArray[Any]) -> float:
    """Return the mean of -log of the softmax's value at the target."""
    probabilities = softmax(logits)
    losses = [
        -math.log(probabilities[*index, targets[index]]) for index in np.ndindex(targets.shape)
    ]
    return sum(losses) / len(losses)


def silu(x: Array) -> Array:
    """Return x / (1 + exp(-x))."""
    return np.asarray(x / (1 + np.exp(-x)))


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Return x over the root of its mean square plus eps, times the weight."""
    out = np.empty_like(x)
    for index in np.ndindex(x.shape[:-1]):
        mean_square = sum(value**2 for value in x[index]) / len(weight)
        out[index] = x[index] / math.sqrt(mean_square + eps) * weight
    return out


def rope(x: Array, positions: npt.NDArray[Any], theta: float) -> Array:
    """Turn pair k of the vector at each position by position * theta^(-2k / d)."""
    out = np.empty_like(x)
    d = x.shape[-1]
    for index in np.ndindex(x.shape[:-1]):
        for k in range(d // 2):
            angle = positions[index] * theta ** (-2 * k / d)
            a, b = x[*index, 2 * k], x[*index, 2 * k + 1]
            out[*index, 2 * k] = a * math.cos(angle) - b * math.sin(angle)
            out[*index, 2 * k + 1] = a * math.sin(angle) + b * math.cos(angle)
    return out


def attention(q: Array, k: Array, v: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Average the values that each query may attend to; with none, return zeros."""
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for *batch, query in np.ndindex(q.shape[:-1]):
        place = tuple(batch)
        allowed = [j for j in range(k.shape[-2]) if mask[*place, query, j]]
        if not allowed:
            continue
        scores = np.array([q[*place, query] @ k[*place, j] for j in allowed])
        weights = softmax(scores / math.sqrt(q.shape[-1]))
        out[*place, query] = sum(w * v[*place, j] for w, j in zip(weights, allowed, strict=True))
    return out


def multi_head_self_attention(
    x: Array,
    weights: dict[str, Array],
    num_heads: int,
    num_kv_heads: int,
    theta: float | None,
) -> Array:
    """Attend causally, one head at a time; x is (seq, d_model), weights have the model's keys."""
    seq = len(x)
    d = weights["q_proj.weight"].shape[0] // num_heads
    heads = []
    for head in range(num_heads):
        shared = head // (num_heads // num_kv_heads)
        q = x @ weights["q_proj.weight"][head * d : (head + 1) * d].T
        k = x @ weights["k_proj.weight"][shared * d : (shared + 1) * d].T
        v = x @ weights["v_proj.weight"][shared * d : (shared + 1) * d].T
        if theta is not None:
            q, k = rope(q, np.arange(seq), theta), rope(k, np.arange(seq), theta)
        heads.append(attention(q, k, v, np.tri(seq, dtype=np.bool_)))
    return np.asarray(np.concatenate(heads, axis=-1) @ weights["output_proj.weight"].T)


def swiglu(x: Array, w1: Array, w2: Array, w3: Array) -> Array:
    """Return w2 (silu(w1 x) * w3 x)."""
    return np.asarray((silu(x @ w1.T) * (x @ w3.T)) @ w2.T)


def transformer_lm(
    token_ids: npt.NDArray[Any],
    weights: dict[str, Array],
    num_layers: int,
    num_heads: int,
    num_kv_heads: int,
    theta: float,
    eps: float,
) -> Array:
    """Return the logits of one sequence from the weights of a pre-norm SwiGLU model with RoPE."""
    x = weights["token_embeddings.weight"][token_ids]
    for i in range(num_layers):
        layer = {
            name.removeprefix(f"layers.{i}."): value
            for name, value in weights.items()
            if name.startswith(f"layers.{i}.")
        }
        attn = {
            name.removeprefix("attn."): value
            for name, value in layer.items()
            if name.startswith("attn.")
        }
        normed = rms_norm(x, layer["ln1.weight"], eps)
        x = x + multi_head_self_attention(normed, attn, num_heads, num_kv_heads, theta)
        normed = rms_norm(x, layer["ln2.weight"], eps)
        ffn = (layer[f"ffn.w{j}.weight"] for j in (1, 2, 3))
        x = x + swiglu(normed, *ffn)
    return np.asarray(rms_norm(x, weights["ln_final.weight"], eps) @ weights["lm_head.weight"].T)
