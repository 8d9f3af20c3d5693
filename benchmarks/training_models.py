"""The contenders of `training.py`: the same model of each library, with what trains it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_layers import TorchLM

from nn import ModelConfig, TransformerLM
from optim import AdamW, clip_grad_norm

SIZES = {
    "1M": ModelConfig(vocab_size=512, d_model=128, d_ff=384, num_layers=4, num_heads=4),
    "17M": ModelConfig(vocab_size=10_000, d_model=512, d_ff=1344, num_layers=4, num_heads=16),
    "50M": ModelConfig(vocab_size=10_000, d_model=640, d_ff=1728, num_layers=8, num_heads=10),
}
CONTENDERS = (
    "torch layers, eager",
    "torch layers, compiled",
    "transformers Llama, eager",
    "transformers Llama, compiled",
    "transformers GPT-2, eager",
    "transformers GPT-2, compiled",
    "ours, eager",
    "ours, compiled",
)
LR, BETAS, DECAY, MAX_NORM = 1e-3, (0.9, 0.95), 0.1, 1.0


@dataclass(frozen=True)
class Contender:
    """A model that computes its loss, and its optimizer."""

    loss: Callable[[Tensor, Tensor], Tensor]
    parameters: list[Tensor]
    optimizer: Any
    clip: Callable[..., Tensor]

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """Take one whole step: forward, backward, clipping, update, gradients gone."""
        loss = self.loss(inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        self.clip(self.parameters, MAX_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()


def build(name: str, config: ModelConfig) -> Contender:
    """Return a contender by its name; others than ours take torch's fused AdamW."""
    torch.manual_seed(0)
    library, mode = name.split(", ")
    model: Module
    if library == "ours":
        model = TransformerLM(config, generator=torch.Generator().manual_seed(0))
        loss: Any = model.loss
    elif library == "torch layers":
        model = TorchLM(config)
        loss = model.loss
    else:
        model = llama(config) if library == "transformers Llama" else gpt2(config)

        def loss(inputs: Tensor, targets: Tensor) -> Tensor:
            logits = model(inputs, use_cache=False).logits
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    if mode == "compiled":
        loss = torch.compile(loss, dynamic=False)
    parameters: list[Tensor] = list(model.parameters())
    if library == "ours":
        fused = mode == "compiled"
        optimizer: Any = AdamW(parameters, lr=LR, betas=BETAS, weight_decay=DECAY, fused=fused)
        return Contender(loss, parameters, optimizer, clip_grad_norm)
    optimizer = torch.optim.AdamW(parameters, lr=LR, betas=BETAS, weight_decay=DECAY, fused=True)
    return Contender(loss, parameters, optimizer, torch.nn.utils.clip_grad_norm_)


def llama(config: ModelConfig) -> Module:
    """Return transformers' model of this shape, with torch's fused attention inside."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(  # type: ignore[call-arg]
        vocab_size=config.vocab_size,
        hidden_size=config.d_model,
        intermediate_size=config.resolved_d_ff,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        max_position_embeddings=config.context_length,
        attn_implementation="sdpa",
    )
    model: Module = LlamaForCausalLM(shape)
    return model


def gpt2(config: ModelConfig) -> Module:
    """Return transformers' GPT-2 as nanoGPT builds it: it stands for that one, which is no package.

    Learned positions, LayerNorm, exact GELU in a network of 4 d_model, biases, one matrix for
    embedding and head, torch's fused attention, and no dropout.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = GPT2Config(  # type: ignore[call-arg]
        vocab_size=config.vocab_size,
        n_positions=config.context_length,
        n_embd=config.d_model,
        n_layer=config.num_layers,
        n_head=config.num_heads,
        activation_function="gelu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="sdpa",
    )
    model: Module = GPT2LMHeadModel(shape)
    return model


def draw_batch(config: ModelConfig, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets whose ids follow Zipf's law, as in text."""
    weights = 1.0 / torch.arange(10, config.vocab_size + 10)
    count = batch_size * (config.context_length + 1)
    ids = torch.multinomial(weights, count, replacement=True).view(batch_size, -1)
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
