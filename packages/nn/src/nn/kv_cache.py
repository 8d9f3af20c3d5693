"""Keys and values of the tokens so far, kept so that decoding never computes them twice."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from contracts import contract
from nn.config import ModelConfig


class KVCache:
    """Hold the keys and values of every layer, for a batch of sequences of one length.

    Room for `max_length` tokens (the context length unless given) is taken at once. The model's
    forward appends to it; `length` tokens are filled. It holds values without gradients: a cache is
    for inference.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int,
        *,
        max_length: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.max_length = config.context_length if max_length is None else max_length
        self.length = 0
        shape = (batch_size, config.resolved_num_kv_heads, self.max_length, config.d_head)
        self._keys, self._values = (
            [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.num_layers)]
            for _ in range(2)
        )

    @property
    def batch_size(self) -> int:
        """The number of sequences."""
        return self._keys[0].shape[0]

    def layer(self, index: int) -> "LayerCache":
        """Return the part of one layer, at the present length."""
        return LayerCache(self._keys[index], self._values[index], self.length)

    def check_room(self, new: int) -> None:
        """Raise ValueError unless `new` more tokens fit."""
        if self.length + new > self.max_length:
            raise ValueError(
                f"the cache holds {self.length} tokens of max_length={self.max_length}: "
                f"{new} more do not fit"
            )

    def advance(self, new: int) -> None:
        """Count `new` tokens as filled, once every layer has been extended by them."""
        self.check_room(new)
        self.length += new

    def reset(self) -> None:
        """Forget all tokens and keep the room."""
        self.length = 0


@dataclass(frozen=True)
class LayerCache:
    """One layer of a cache: where its attention puts new keys and values, after `length` others."""

    keys: Tensor
    values: Tensor
    length: int

    @contract
    def extend(
        self,
        keys: Float[Tensor, "*batch heads new d_head"],
        values: Float[Tensor, "*batch heads new d_head"],
    ) -> tuple[Float[Tensor, "*batch heads all d_head"], Float[Tensor, "*batch heads all d_head"]]:
        """Write new keys and values behind the old ones and return all, in the dtype of the new."""
        new = keys.shape[-2]
        end = self.length + new
        flat = (-1, *keys.shape[-3:])
        self.keys.narrow(-2, self.length, new).copy_(keys.detach().reshape(flat))
        self.values.narrow(-2, self.length, new).copy_(values.detach().reshape(flat))
        every = (*keys.shape[:-2], end, keys.shape[-1])
        return (
            self.keys.narrow(-2, 0, end).view(every).to(keys.dtype),
            self.values.narrow(-2, 0, end).view(every).to(values.dtype),
        )
