"""One Transformer block: attention, then a feed-forward network, each added to the stream."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import Module

from contracts import contract
from nn.attention import MultiHeadSelfAttention
from nn.config import ModelConfig
from nn.ffn import SiLUFFN, SwiGLU
from nn.kv_cache import LayerCache
from nn.rms_norm import NoNorm, RMSNorm
from nn.rope import RotaryPositionalEmbedding


class TransformerBlock(Module):
    """Compute `x + attn(ln1(x))`, then `x + ffn(ln2(x))`; with post-norm, `ln1(x + attn(x))` etc.

    The blocks of a model share one `rope`; a block on its own makes one if the config asks for it.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        rope: RotaryPositionalEmbedding | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        d_model = config.d_model
        if rope is None and config.position == "rope":
            rope = RotaryPositionalEmbedding(
                config.rope_theta, config.d_head, config.context_length, device=device
            )
        self.attn = MultiHeadSelfAttention(
            d_model,
            config.num_heads,
            num_kv_heads=config.num_kv_heads,
            rope=rope,
            qk_norm=config.qk_norm,
            device=device,
            dtype=dtype,
            generator=generator,
        )
        ffn = SwiGLU if config.ffn == "swiglu" else SiLUFFN
        self.ffn = ffn(
            d_model, config.resolved_d_ff, device=device, dtype=dtype, generator=generator
        )
        self.pre_norm = config.norm_placement == "pre"
        normed = config.norm == "rms"
        self.ln1 = RMSNorm(d_model, device=device, dtype=dtype) if normed else NoNorm()
        self.ln2 = RMSNorm(d_model, device=device, dtype=dtype) if normed else NoNorm()

    @contract
    def forward(
        self,
        x: Float[Tensor, "*batch seq d_model"],
        *,
        positions: Int[Tensor, "*#batch seq"] | None = None,
        mask: Bool[Tensor, "*#batch #seq keys"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "*batch seq d_model"]:
        """Pass `x` through both sublayers; the arguments are those of the attention."""
        if self.pre_norm:
            x = x + self.attn(self.ln1(x), positions=positions, mask=mask, cache=cache)
            x = x + self.ffn(self.ln2(x))
        else:
            x = self.ln1(x + self.attn(x, positions=positions, mask=mask, cache=cache))
            x = self.ln2(x + self.ffn(x))
        return x
