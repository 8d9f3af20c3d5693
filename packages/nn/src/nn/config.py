"""What a model is: every number and choice that its shape depends on."""

from dataclasses import dataclass
from typing import Literal, get_args

from nn.ffn import swiglu_d_ff

Norm = Literal["rms", "none"]
NormPlacement = Literal["pre", "post"]
Position = Literal["rope", "none"]
FFN = Literal["swiglu", "silu"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of a `TransformerLM`; a shape that cannot be built raises ValueError at once."""

    vocab_size: int = 10_000
    """Number of token ids."""
    context_length: int = 256
    """Most tokens that the model sees at once."""
    d_model: int = 512
    """Width of the residual stream."""
    num_layers: int = 4
    """Number of Transformer blocks."""
    num_heads: int = 16
    """Query heads of each attention."""
    num_kv_heads: int | None = None
    """Key and value heads, shared by groups of query heads; as many as query heads if not given."""
    d_ff: int | None = None
    """Inner width of the feed-forward network; if not given, 8/3 d_model up to a multiple of 64 for
    swiglu, and 4 d_model for silu."""
    rope_theta: float = 10_000.0
    """Base of the rotary angles: larger turns slower."""
    norm: Norm = "rms"
    """Normalisation: RMSNorm, or none at all."""
    norm_placement: NormPlacement = "pre"
    """Normalise what enters each sublayer (pre) or the sum that leaves it (post)."""
    position: Position = "rope"
    """Where positions come from: rotary embedding, or only the causal mask (none)."""
    ffn: FFN = "swiglu"
    """Feed-forward network: with a gate (swiglu) or without (silu)."""
    tied_embeddings: bool = False
    """Use the token embeddings as the output projection too."""
    qk_norm: bool = False
    """Normalise each head's queries and keys before they turn."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads"):
            _check_positive(name, getattr(self, name))
        for name in ("num_kv_heads", "d_ff"):
            if getattr(self, name) is not None:
                _check_positive(name, getattr(self, name))
        for name, choices in (
            ("norm", Norm),
            ("norm_placement", NormPlacement),
            ("position", Position),
            ("ffn", FFN),
        ):
            value = getattr(self, name)
            if value not in get_args(choices):
                allowed = ", ".join(repr(choice) for choice in get_args(choices))
                raise ValueError(f"model.{name}={value!r} is not one of {allowed}")
        for name in ("tied_embeddings", "qk_norm"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"model.{name}={getattr(self, name)!r} is not true or false")
        self._check_sizes()

    def _check_sizes(self) -> None:
        if self.d_model % self.num_heads != 0:
            raise ValueError(
                f"model.d_model={self.d_model} is not divisible by model.num_heads={self.num_heads}"
            )
        if self.num_heads % self.resolved_num_kv_heads != 0:
            raise ValueError(
                f"model.num_heads={self.num_heads} is not divisible by "
                f"model.num_kv_heads={self.num_kv_heads}"
            )
        if self.position != "rope":
            return
        if self.d_head % 2 != 0:
            raise ValueError(
                f"model.d_model={self.d_model} over model.num_heads={self.num_heads} makes heads "
                f"of odd size {self.d_head}, but RoPE turns pairs: change one, or set "
                "model.position='none'"
            )
        if not isinstance(self.rope_theta, int | float) or not 0 < self.rope_theta < float("inf"):
            raise ValueError(f"model.rope_theta={self.rope_theta!r} is not a positive number")

    @property
    def d_head(self) -> int:
        """Size of one head."""
        return self.d_model // self.num_heads

    @property
    def resolved_num_kv_heads(self) -> int:
        """Number of key and value heads, given or not."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    @property
    def resolved_d_ff(self) -> int:
        """Inner width of the feed-forward network, given or not."""
        if self.d_ff is not None:
            return self.d_ff
        return swiglu_d_ff(self.d_model) if self.ffn == "swiglu" else 4 * self.d_model


def _check_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"model.{name}={value!r} is not a positive integer")
