"""The feed-forward network whose nonlinearity is a squared ReLU."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Module

from contracts import contract
from nn.linear import Linear, linear


@contract
def relu_squared(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Square the positive numbers and make the others 0 (So et al. 2021, "Primer", section 3)."""
    return x.clamp(min=0.0).square()


class ReLUSquaredFFN(Module):
    """Compute `w2 relu(w1 x)^2`, without a gate; d_ff is 4 d_model unless given.

    So et al. 2021 found it by a search over programs; it needs no exponential.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        d_ff = 4 * d_model if d_ff is None else d_ff
        self.w1 = Linear(d_model, d_ff, device=device, dtype=dtype, generator=generator)
        self.w2 = Linear(d_ff, d_model, device=device, dtype=dtype, generator=generator)

    @contract
    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Apply the two products with the squared ReLU between them."""
        return linear(relu_squared(linear(x, self.w1.weight)), self.w2.weight)
