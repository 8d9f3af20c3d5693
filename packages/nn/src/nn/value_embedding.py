"""A second embedding of the token, for the values of one layer's attention."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Parameter

from contracts import contract
from nn.embedding import Embedding, embedding


class ValueEmbedding(Embedding):
    """Own a value for each token, and one number that says how much of it attention gets.

    Deep layers keep hold of the token itself in this way, at the price of a table and no FLOPs: the
    first layer's values, which Zhou et al. 2024 ("Value Residual Learning") add to every layer's,
    depend on the token alone, so modded-nanogpt (Jordan et al. 2024) learns them as tables. As in
    both, the weight starts at 1/2; that of the layer's own values is left to their projection.
    """

    def __init__(
        self,
        vocab_size: int,
        d_kv: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(vocab_size, d_kv, device=device, dtype=dtype, generator=generator)
        self.scale = Parameter(torch.tensor(0.5, device=device, dtype=dtype))

    @contract
    def forward(self, token_ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_kv"]:
        """Look the tokens' values up and scale them."""
        return embedding(token_ids, self.weight) * self.scale
