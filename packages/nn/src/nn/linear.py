"""The matrix product that every other layer is built from. No bias."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Module, Parameter

from contracts import contract
from nn.fused.linear import onednn_linear
from nn.initialization import truncated_normal
from nn.triton_kernels.selection import onednn_serves


@contract
def linear(
    x: Float[Tensor, "*batch d_in"], weight: Float[Tensor, "d_out d_in"]
) -> Float[Tensor, "*batch d_out"]:
    """Multiply the last axis of `x` by `weight`, whose rows are the outputs."""
    rows = math.prod(x.shape[:-1])
    if x.dtype == weight.dtype and onednn_serves(
        x.device, x.dtype, rows=rows, weights=weight.numel()
    ):
        return onednn_linear(x, weight)
    return x @ weight.T


class Linear(Module):
    """Own a weight (d_out, d_in) and multiply by it.

    It starts as N(0, 2 / (d_in + d_out)) cut at 3 standard deviations (Glorot and Bengio 2010,
    eq. 12), which keeps the variance of activations and of gradients alike.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        std = math.sqrt(2.0 / (d_in + d_out))
        self.weight = Parameter(
            truncated_normal((d_out, d_in), std, device=device, dtype=dtype, generator=generator)
        )

    @contract
    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """Apply `linear`."""
        return linear(x, self.weight)

    def extra_repr(self) -> str:
        """Show the sizes in the model's printout."""
        d_out, d_in = self.weight.shape
        return f"d_in={d_in}, d_out={d_out}"
