"""Scaled dot-product attention, and the causal multi-head layer around it."""

import math

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import Module

from contracts import contract
from nn.documents import document_mask
from nn.fused.attention import cpu_causal_attention
from nn.kv_cache import LayerCache
from nn.linear import Linear
from nn.rms_norm import NoNorm, RMSNorm
from nn.rope import RotaryPositionalEmbedding
from nn.triton_kernels.selection import attention_serves, fused_serves


@contract
def causal_mask(
    queries: int, keys: int, *, device: torch.device | None = None
) -> Bool[Tensor, "queries keys"]:
    """Let each query see the keys up to its own, the last query being level with the last key."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


@contract
def scaled_dot_product_attention(
    q: Float[Tensor, "*batch queries d_k"],
    k: Float[Tensor, "*batch keys d_k"],
    v: Float[Tensor, "*batch keys d_v"],
    mask: Bool[Tensor, "*#batch #queries #keys"] | None = None,
) -> Float[Tensor, "*batch queries d_v"]:
    """Average the values by softmax(q k^T / sqrt(d_k)) (Vaswani et al. 2017, eq. 1).

    `mask` is True where a query may attend; a query that may attend to nothing gives zeros.
    The softmax is computed in float32 at least.
    """
    scores = (q / math.sqrt(q.shape[-1])) @ k.mT
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    # The scores are the one large tensor here: they are changed in place until they are the
    # softmax's numerators. Its denominators divide the output, which is smaller.
    if mask is not None:
        forbidden = torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -math.inf)
        scores = scores.add_(forbidden)
    largest = scores.detach().amax(-1, keepdim=True)
    if mask is not None:
        # So that a row of -inf gives exp(-inf - min) = 0 and not exp(-inf + inf).
        largest = largest.clamp(min=torch.finfo(scores.dtype).min)
    numerators = scores.sub_(largest).exp_()
    denominators = numerators.sum(-1, keepdim=True)
    if mask is not None:
        # Rows of zeros are divided by 1. Not by a clamp at 1: it has no gradient in a row whose sum
        # is exactly 1, such as that of the first query, which sees one key.
        denominators = denominators.masked_fill(denominators == 0.0, 1.0)
    return ((numerators.to(v.dtype) @ v) / denominators).to(v.dtype)


@contract
def causal_attention(
    q: Float[Tensor, "*batch heads queries d_k"],
    k: Float[Tensor, "*batch kv_heads keys d_k"],
    v: Float[Tensor, "*batch kv_heads keys d_v"],
    documents: Int[Tensor, "*#batch queries"] | None = None,
) -> Float[Tensor, "*batch heads queries d_v"]:
    """Attend with each query to the keys up to its own, the last query being level with the last.

    With `documents`, the number of each token's document, to those of its own document alone: as
    many queries as keys, and numbers that never fall along a sequence; else ValueError.
    Neighbouring query heads share a key head where those are fewer; if they do not divide,
    ValueError. What it computes is written in `scaled_dot_product_attention`; `nn.fused` or a
    kernel does it without keeping scores. The kernels know no documents: there scores are kept.
    """
    split = "... heads seq d -> (...) heads seq d"
    if q.shape[-3] % k.shape[-3] != 0:
        raise ValueError(f"heads={q.shape[-3]} is not divisible by kv_heads={k.shape[-3]}")
    if documents is not None and q.shape[-2] != k.shape[-2]:
        raise ValueError(f"documents need as many queries={q.shape[-2]} as keys={k.shape[-2]}")
    kernel_serves = attention_serves(q.device, q.dtype, d_k=q.shape[-1], d_v=v.shape[-1])
    if kernel_serves and documents is None:
        from nn.triton_kernels.flash_attention import flash_attention

        return flash_attention(*(rearrange(t, split) for t in (q, k, v))).reshape(q.shape)
    if q.shape[-2] == 1 and documents is None:
        # The newest token sees every key. Those of a group become queries of the head they share.
        group = q.shape[-3] // k.shape[-3]
        shared = q.reshape(*k.shape[:-2], group, q.shape[-1])
        return scaled_dot_product_attention(shared, k, v).reshape(q.shape)
    plain_only = q.shape[-2] > k.shape[-2] or k.shape != v.shape
    if not plain_only and fused_serves(q.device, q.dtype):
        if documents is not None:
            documents = documents.expand(*q.shape[:-3], -1).reshape(-1, q.shape[-2])
        flat_q, flat_k, flat_v = (rearrange(t, split) for t in (q, k, v))
        return cpu_causal_attention(flat_q, flat_k, flat_v, documents).reshape(q.shape)
    group = q.shape[-3] // k.shape[-3]
    if group > 1:
        k, v = (repeat(t, "... kv s d -> ... (kv group) s d", group=group) for t in (k, v))
    mask = causal_mask(q.shape[-2], k.shape[-2], device=q.device)
    if documents is not None:
        mask = mask & document_mask(documents).unsqueeze(-3)
    return scaled_dot_product_attention(q, k, v, mask)


class MultiHeadSelfAttention(Module):
    """Attend with several heads at once, each to its own part of the projections' rows.

    With `num_kv_heads` below `num_heads`, groups of query heads share one key and value head
    (Ainslie et al. 2023). With `qk_norm`, each head's queries and keys pass an RMSNorm before they
    turn (Henry et al. 2020). Sizes that do not divide raise ValueError.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        rope: RotaryPositionalEmbedding | None = None,
        qk_norm: bool = False,
        norm_eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if d_model % num_heads != 0:
            raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")
        if num_heads % num_kv_heads != 0:
            raise ValueError(
                f"num_heads={num_heads} is not divisible by num_kv_heads={num_kv_heads}"
            )
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        d_head = d_model // num_heads
        d_kv = num_kv_heads * d_head
        if rope is not None and rope.d_k != d_head:
            raise ValueError(f"rope.d_k={rope.d_k} is not d_model / num_heads = {d_head}")
        self.q_proj = Linear(d_model, d_model, device=device, dtype=dtype, generator=generator)
        self.k_proj = Linear(d_model, d_kv, device=device, dtype=dtype, generator=generator)
        self.v_proj = Linear(d_model, d_kv, device=device, dtype=dtype, generator=generator)
        self.output_proj = Linear(d_model, d_model, device=device, dtype=dtype, generator=generator)
        self.q_norm, self.k_norm = (
            RMSNorm(d_head, norm_eps, device=device, dtype=dtype) if qk_norm else NoNorm()
            for _ in range(2)
        )
        self.rope = rope

    @contract
    def forward(
        self,
        x: Float[Tensor, "*batch seq d_model"],
        *,
        positions: Int[Tensor, "*#batch seq"] | None = None,
        mask: Bool[Tensor, "*#batch #seq keys"] | None = None,
        cache: LayerCache | None = None,
        values: Float[Tensor, "*batch seq d_kv"] | None = None,
        documents: Int[Tensor, "*#batch seq"] | None = None,
    ) -> Float[Tensor, "*batch seq d_model"]:
        """Attend causally, or as `mask` says (True = may attend), to `x` and what `cache` holds.

        Positions go on from the cache's length when none are given. `values` are added to what the
        value projection gives, such as those of a `ValueEmbedding`. With `documents`, the number of
        each token's document, none is attended to from another one; positions need no reset, as
        RoPE's products know distances alone. With a mask or a cache they raise ValueError.
        """
        if documents is not None and (mask is not None or cache is not None):
            raise ValueError("documents go with neither a mask nor a cache")
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if values is not None:
            v = v + values
        q = self.q_norm(_by_head(q, self.num_heads))
        k = self.k_norm(_by_head(k, self.num_kv_heads))
        v = _by_head(v, self.num_kv_heads)
        if self.rope is not None:
            start = 0 if cache is None else cache.length
            q, k = self.rope.turn_heads(q, k, positions, start=start)
        if cache is not None:
            k, v = cache.extend(k, v)
        if mask is None:
            heads = causal_attention(q, k, v, documents)
        else:
            group = self.num_heads // self.num_kv_heads
            if group > 1:
                k, v = (repeat(t, "... kv s d -> ... (kv group) s d", group=group) for t in (k, v))
            heads = scaled_dot_product_attention(q, k, v, mask.unsqueeze(-3))
        output: Tensor = self.output_proj(heads.transpose(-3, -2).flatten(-2))
        return output


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """Rearrange "... seq (heads d) -> ... heads seq d".

    Without einops, whose steps count where a small model writes a token at a time.
    """
    return rows.view(*rows.shape[:-1], heads, rows.shape[-1] // heads).transpose(-3, -2)
