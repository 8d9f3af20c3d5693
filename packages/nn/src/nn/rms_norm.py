"""Normalisation by the root mean square."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Module, Parameter

from contracts import contract
from nn.fused.rms_norm import cpu_rms_norm
from nn.triton_kernels.selection import fused_serves, norm_serves


@contract
def rms_norm(
    x: Float[Tensor, "*batch d_model"], weight: Float[Tensor, " d_model"], *, eps: float = 1e-5
) -> Float[Tensor, "*batch d_model"]:
    """Scale `x` to unit root mean square over its last axis, then by `weight`.

    Zhang and Sennrich 2019, eq. 4. Computed in float32 at least, returned in the dtype of `x`: in
    bfloat16 the mean of squares loses the low bits that `eps` protects. In eager mode,
    `nn.fused` or a kernel does it.
    """
    if norm_serves(x.device, x.dtype, d_model=x.shape[-1]):
        from nn.triton_kernels.rms_norm import fused_rms_norm

        return fused_rms_norm(x, weight, eps=eps)
    if fused_serves(x.device, x.dtype, fusible=True):
        return cpu_rms_norm(x, weight, eps=eps)
    numbers = x.to(torch.promote_types(x.dtype, torch.float32))
    mean_square = numbers.square().mean(-1, keepdim=True)
    return (numbers * (mean_square + eps).rsqrt() * weight).to(x.dtype)


class RMSNorm(Module):
    """Own the gain of `rms_norm`, which starts at 1."""

    def __init__(
        self,
        d_model: int,
        eps: float = 1e-5,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight = Parameter(torch.ones(d_model, device=device, dtype=dtype))

    @contract
    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Apply `rms_norm`."""
        return rms_norm(x, self.weight, eps=self.eps)

    def extra_repr(self) -> str:
        """Show the size in the model's printout."""
        return f"d_model={self.weight.shape[0]}, eps={self.eps}"


class NoNorm(Module):
    """Stand where a norm would and change nothing: what a model without normalisation has."""

    @contract
    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Return `x` itself."""
        return x
