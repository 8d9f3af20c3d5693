"""What a model is: every number and choice that its shape depends on."""

from dataclasses import dataclass
from typing import Literal, get_args

from nn.ffn import swiglu_d_ff

Norm = Literal["rms", "none"]
NormPlacement = Literal["pre", "post"]
Position = Literal["rope", "none"]
FFN = Literal["swiglu", "silu", "relu2"]


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
    swiglu, and 4 d_model for silu and relu2."""
    rope_theta: float = 10_000.0
    """Base of the rotary angles: larger turns slower."""
    norm: Norm = "rms"
    """Normalisation: RMSNorm, or none at all."""
    norm_eps: float = 1e-5
    """What every RMSNorm adds to the mean square, so that nothing is divided by zero."""
    norm_placement: NormPlacement = "pre"
    """Normalise what enters each sublayer (pre) or the sum that leaves it (post)."""
    position: Position = "rope"
    """Where positions come from: rotary embedding, or only the causal mask (none)."""
    ffn: FFN = "swiglu"
    """Feed-forward network: with a gate (swiglu), or without: silu, or ReLU squared (relu2)."""
    tied_embeddings: bool = False
    """Use the token embeddings as the output projection too."""
    qk_norm: bool = False
    """Normalise each head's queries and keys before they turn."""
    logit_soft_cap: float | None = None
    """Bend the logits into (-cap, cap) by a tanh (Gemma 2 has 30); not at all if not given."""
    value_embeddings: tuple[int, ...] = ()
    """Layers, counted from 0, that add an embedding of the token to their attention's values."""
    zero_init_outputs: bool = False
    """Start the last matrix of each sublayer at zero, so that each block starts as the identity."""

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
        for name in ("tied_embeddings", "qk_norm", "zero_init_outputs"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"model.{name}={getattr(self, name)!r} is not true or false")
        _check_positive_number("norm_eps", self.norm_eps)
        if self.logit_soft_cap is not None:
            _check_positive_number("logit_soft_cap", self.logit_soft_cap)
        self._check_value_embeddings()
        self._check_sizes()

    def _check_value_embeddings(self) -> None:
        layers = self.value_embeddings
        # A list is what JSON makes of a tuple.
        if not isinstance(layers, tuple | list) or any(type(layer) is not int for layer in layers):
            raise ValueError(f"model.value_embeddings={layers!r} is not a tuple of layer numbers")
        object.__setattr__(self, "value_embeddings", tuple(sorted(layers)))
        if len(set(layers)) < len(layers):
            raise ValueError(f"model.value_embeddings={tuple(layers)} names a layer twice")
        if layers and not 0 <= min(layers) <= max(layers) < self.num_layers:
            raise ValueError(
                f"model.value_embeddings={tuple(layers)} are not all in "
                f"0..{self.num_layers - 1}, the layers of model.num_layers={self.num_layers}"
            )

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
        _check_positive_number("rope_theta", self.rope_theta)

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


def _check_positive_number(name: str, value: object) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value < float("inf")
    ):
        raise ValueError(f"model.{name}={value!r} is not a positive number")
