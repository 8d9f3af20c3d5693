"""The language model: embeddings, blocks, a last norm and the projection to the vocabulary."""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import Module, ModuleDict, ModuleList
from torch.utils.checkpoint import checkpoint

from contracts import contract
from nn.attention import causal_mask
from nn.block import TransformerBlock, make_norm
from nn.config import ModelConfig
from nn.cross_entropy import linear_cross_entropy
from nn.embedding import Embedding
from nn.kv_cache import KVCache
from nn.linear import Linear
from nn.rope import RotaryPositionalEmbedding
from nn.saving import WEIGHTS_FILE, check_fit, read_model_directory, write_model_directory
from nn.soft_cap import soft_cap
from nn.value_embedding import ValueEmbedding


class TransformerLM(Module):
    """Predict the next token at every position.

    Weights start as each layer says, from `generator`. Tied embeddings start as the output
    projection does, so that the first logits are small and the first loss is near log(vocab_size).

    With `activation_checkpointing` set, training keeps what enters each block and computes the rest
    again in the backward pass: the same gradients from less memory, for one more forward pass.
    """

    activation_checkpointing = False

    def __init__(
        self,
        config: ModelConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        vocab_size, d_model = config.vocab_size, config.d_model
        std = math.sqrt(2.0 / (d_model + vocab_size)) if config.tied_embeddings else 1.0
        self.token_embeddings = Embedding(
            vocab_size, d_model, std=std, device=device, dtype=dtype, generator=generator
        )
        rope = None
        if config.position == "rope":
            rope = RotaryPositionalEmbedding(
                config.rope_theta, config.d_head, config.context_length, device=device
            )
        self.layers = ModuleList(
            TransformerBlock(config, rope=rope, device=device, dtype=dtype, generator=generator)
            for _ in range(config.num_layers)
        )
        self.ln_final = make_norm(config, device=device, dtype=dtype)
        self.lm_head = Linear(d_model, vocab_size, device=device, dtype=dtype, generator=generator)
        # Drawn last, so that the other weights are those of the same seed without them.
        d_kv = config.resolved_num_kv_heads * config.d_head
        self.value_embeddings = ModuleDict(
            {
                str(layer): ValueEmbedding(
                    vocab_size, d_kv, device=device, dtype=dtype, generator=generator
                )
                for layer in config.value_embeddings
            }
        )
        self._tie()

    def _tie(self) -> None:
        if self.config.tied_embeddings:
            self.lm_head.weight = self.token_embeddings.weight

    @contract
    def forward(
        self,
        token_ids: Int[Tensor, "*batch seq"],
        cache: KVCache | None = None,
        *,
        positions: Int[Tensor, "*#batch seq"] | None = None,
        mask: Bool[Tensor, "*#batch #seq keys"] | None = None,
        documents: Int[Tensor, "*#batch seq"] | None = None,
    ) -> Float[Tensor, "*batch seq vocab_size"]:
        """Return the logits of the token that follows each position.

        With a cache, `token_ids` follow the tokens that it holds, and are appended to it. `mask`
        (True = may attend; keys count the cached tokens too) forbids more than the future does,
        such as padding on the left; `positions` then says where each sequence's tokens stand.
        With `documents`, such as `document_numbers` gives, each document of a sequence is computed
        as if it stood alone; the last token of one still predicts what begins the next. They go
        with neither mask nor cache. More tokens than the context length, or than the cache has room
        for, raise ValueError.
        """
        hidden = self.hidden_states(
            token_ids, cache, positions=positions, mask=mask, documents=documents
        )
        return self.logits(hidden)

    @contract
    def logits(self, hidden: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch vocab_size"]:
        """Return the logits of hidden states, of all positions or of those that matter.

        They are the largest tensor of a forward pass. Where the last position alone is wanted,
        `model.logits(model.hidden_states(token_ids)[..., -1, :])` never makes the others.
        """
        logits: Tensor = self.lm_head(hidden)
        cap = self.config.logit_soft_cap
        return logits if cap is None else soft_cap(logits, cap)

    @contract
    def loss(
        self,
        token_ids: Int[Tensor, "*batch seq"],
        targets: Int[Tensor, "*batch seq"],
        documents: Int[Tensor, "*#batch seq"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy of `targets` in nats, without keeping the logits.

        A target outside the vocabulary raises IndexError on the CPU: no id stands for "ignore".
        `documents` and other errors are `forward`'s. To compile it, compile `model.loss`: a
        compiled model compiles its `forward` alone.
        """
        hidden = self.hidden_states(token_ids, documents=documents)
        cap = self.config.logit_soft_cap
        return linear_cross_entropy(hidden, self.lm_head.weight, targets, soft_cap=cap)

    @contract
    def hidden_states(
        self,
        token_ids: Int[Tensor, "*batch seq"],
        cache: KVCache | None = None,
        *,
        positions: Int[Tensor, "*#batch seq"] | None = None,
        mask: Bool[Tensor, "*#batch #seq keys"] | None = None,
        documents: Int[Tensor, "*#batch seq"] | None = None,
    ) -> Float[Tensor, "*batch seq d_model"]:
        """Return what the output projection turns into logits; the arguments are `forward`'s."""
        seq = token_ids.shape[-1]
        keys = seq
        if cache is not None:
            cache.check_room(seq)
            keys += cache.length
        if keys > self.config.context_length:
            raise ValueError(
                f"{keys} tokens exceed model.context_length={self.config.context_length}"
            )
        if mask is not None:
            mask = mask & causal_mask(seq, keys, device=token_ids.device)
        x = self.token_embeddings(token_ids)
        for index, layer in enumerate(self.layers):
            part = None if cache is None else cache.layer(index)
            values = None
            if index in self.config.value_embeddings:
                values = self.value_embeddings[str(index)](token_ids)
            block = partial(
                layer,
                positions=positions,
                mask=mask,
                cache=part,
                values=values,
                documents=documents,
            )
            if self.activation_checkpointing and cache is None and torch.is_grad_enabled():
                # Nothing in a block is drawn at random.
                x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x)
        if cache is not None:
            cache.advance(seq)
        normed: Tensor = self.ln_final(x)
        return normed

    def save(self, directory: str | Path) -> None:
        """Write config.json and model.safetensors, so that a kill leaves no half-written model."""
        write_model_directory(directory, self.config, self.state_dict())

    @classmethod
    def load(cls, directory: str | Path, *, device: torch.device | str | None = None) -> Self:
        """Read what `save` wrote; a missing, damaged or foreign file raises `ModelFileError`."""
        config, tensors = read_model_directory(directory, device=device)
        # Nothing is drawn at random only to be overwritten: tensors are named, then put in place.
        model = cls(config, device="meta")
        check_fit(Path(directory) / WEIGHTS_FILE, model.state_dict(), tensors)
        model.adopt_weights(tensors, device=device)
        return model

    @contract
    def adopt_weights(
        self,
        tensors: Mapping[str, Shaped[Tensor, "..."]],
        *,
        device: torch.device | str | None = None,
    ) -> None:
        """Take the tensors themselves as the weights of this model, which was made on "meta"."""
        self.to_empty(device=device or "cpu")
        self.load_state_dict(tensors, assign=True)
        self._tie()
