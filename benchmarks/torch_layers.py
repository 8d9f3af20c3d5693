"""The same model as `nn.TransformerLM`, from torch's own layers: what ours is measured against.

Pre-norm blocks with RMSNorm, rotary positions, causal attention and SwiGLU, no biases, and as many
weights of the same shapes. Attention, norms, loss and lookup are torch's fused kernels; it rotates
halves instead of neighbouring pairs, which is the form that is fast without a kernel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Linear, Module, ModuleList, RMSNorm

from nn import ModelConfig


class Attention(Module):
    """Causal attention over heads that share nothing."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.d_head = config.d_head
        self.q, self.k, self.v, self.output = (
            Linear(config.d_model, config.d_model, bias=False) for _ in range(4)
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attend; the tables are (seq, d_head / 2)."""
        q, k, v = (
            project(x).unflatten(-1, (-1, self.d_head)).transpose(1, 2)
            for project in (self.q, self.k, self.v)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.output(heads.transpose(1, 2).flatten(-2))
        return out


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the two halves of each head against each other."""
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(x.dtype)


class Block(Module):
    """Attention and a gated feed-forward network, each behind a norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln1, self.ln2 = RMSNorm(config.d_model, eps=1e-5), RMSNorm(config.d_model, eps=1e-5)
        self.attn = Attention(config)
        self.w1, self.w3 = (
            Linear(config.d_model, config.resolved_d_ff, bias=False) for _ in range(2)
        )
        self.w2 = Linear(config.resolved_d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Add both sublayers to the stream."""
        x = x + self.attn(self.ln1(x), cos, sin)
        normed = self.ln2(x)
        out: Tensor = x + self.w2(F.silu(self.w1(normed)) * self.w3(normed))
        return out


class TorchLM(Module):
    """A language model whose parts are all torch's."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.token_embeddings = Embedding(config.vocab_size, config.d_model)
        self.layers = ModuleList(Block(config) for _ in range(config.num_layers))
        self.ln_final = RMSNorm(config.d_model, eps=1e-5)
        self.lm_head = Linear(config.d_model, config.vocab_size, bias=False)
        exponents = torch.arange(0, config.d_head, 2) / config.d_head
        angles = torch.outer(torch.arange(config.context_length), config.rope_theta**-exponents)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return the logits of the token after each position."""
        seq = token_ids.shape[-1]
        x = self.token_embeddings(token_ids)
        for layer in self.layers:
            x = layer(x, self.cos[:seq], self.sin[:seq])
        logits: Tensor = self.lm_head(self.ln_final(x))
        return logits

    def loss(self, token_ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of `targets`."""
        return F.cross_entropy(self(token_ids).flatten(0, -2), targets.flatten())
