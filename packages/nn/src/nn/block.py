"""One Transformer block: attention, then a feed-forward network, each added to the stream."""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import Module

from contracts import contract
from nn.attention import MultiHeadSelfAttention
from nn.config import ModelConfig
from nn.ffn import SiLUFFN, SwiGLU
from nn.kv_cache import LayerCache
from nn.relu_squared import ReLUSquaredFFN
from nn.rms_norm import NoNorm, RMSNorm
from nn.rope import RotaryPositionalEmbedding

_FFNS: dict[str, type[SwiGLU | SiLUFFN | ReLUSquaredFFN]] = {
    "swiglu": SwiGLU,
    "silu": SiLUFFN,
    "relu2": ReLUSquaredFFN,
}


class TransformerBlock(Module):
    """Compute `x + attn(ln1(x))`, then `x + ffn(ln2(x))`; with post-norm, `ln1(x + attn(x))` etc.

    The blocks of a model share one `rope`; a block on its own makes one if the config asks for it.

    With `zero_init_outputs` the last matrix of both sublayers starts at zero: they change nothing
    at first, and the stream and its gradient keep their size at any depth (Zhang, Dauphin and Ma
    2019, "Fixup", section 3). The other weights are those of the same seed without it.
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
            norm_eps=config.norm_eps,
            device=device,
            dtype=dtype,
            generator=generator,
        )
        self.ffn = _FFNS[config.ffn](
            d_model, config.resolved_d_ff, device=device, dtype=dtype, generator=generator
        )
        if config.zero_init_outputs:
            with torch.no_grad():
                self.attn.output_proj.weight.zero_()
                self.ffn.w2.weight.zero_()
        self.pre_norm = config.norm_placement == "pre"
        self.ln1, self.ln2 = (make_norm(config, device=device, dtype=dtype) for _ in range(2))

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
        """Pass `x` through both sublayers; the arguments are those of the attention."""
        attend = partial(
            self.attn,
            positions=positions,
            mask=mask,
            cache=cache,
            values=values,
            documents=documents,
        )
        if self.pre_norm:
            x = x + attend(self.ln1(x))
            x = x + self.ffn(self.ln2(x))
        else:
            x = self.ln1(x + attend(x))
            x = self.ln2(x + self.ffn(x))
        return x


def make_norm(
    config: ModelConfig,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> RMSNorm | NoNorm:
    """Return the norm of the stream that the config asks for."""
    if config.norm == "none":
        return NoNorm()
    return RMSNorm(config.d_model, config.norm_eps, device=device, dtype=dtype)
