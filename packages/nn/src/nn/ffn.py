"""The position-wise feed-forward networks: SwiGLU, and the plain one that it is compared with."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Module

from contracts import contract
from nn.fused.swiglu import cpu_silu_product
from nn.linear import Linear, linear
from nn.triton_kernels.selection import fused_serves, kernels_serve


@contract
def silu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Multiply `x` by its logistic sigmoid (Elfwing et al. 2017, eq. 4)."""
    return x * x.sigmoid()


@contract
def swiglu(
    x: Float[Tensor, "*batch d_model"],
    w1: Float[Tensor, "d_ff d_model"],
    w2: Float[Tensor, "d_model d_ff"],
    w3: Float[Tensor, "d_ff d_model"],
) -> Float[Tensor, "*batch d_model"]:
    """Compute `w2 (silu(w1 x) * w3 x)`: a gated feed-forward network (Shazeer 2020, eq. 6)."""
    return linear(_gate(linear(x, w1), linear(x, w3)), w2)


def _gate(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype == b.dtype and kernels_serve(a.device, a.dtype, fusible=True):
        from nn.triton_kernels.swiglu import fused_silu_product

        return fused_silu_product(a, b)
    if a.dtype == b.dtype and fused_serves(a.device, a.dtype, fusible=True):
        return cpu_silu_product(a, b)
    return silu(a) * b


class SwiGLU(Module):
    """Own the matrices of `swiglu`; d_ff is 8/3 d_model up to a multiple of 64 if not given."""

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
        d_ff = swiglu_d_ff(d_model) if d_ff is None else d_ff
        self.w1 = Linear(d_model, d_ff, device=device, dtype=dtype, generator=generator)
        self.w2 = Linear(d_ff, d_model, device=device, dtype=dtype, generator=generator)
        self.w3 = Linear(d_model, d_ff, device=device, dtype=dtype, generator=generator)

    @contract
    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Apply `swiglu`."""
        return swiglu(x, self.w1.weight, self.w2.weight, self.w3.weight)


class SiLUFFN(Module):
    """Compute `w2 silu(w1 x)`, without a gate; d_ff is 4 d_model unless given.

    With two matrices of 4 d_model it has the parameters of three matrices of 8/3 d_model.
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
        """Apply the two products with SiLU between them."""
        return linear(silu(linear(x, self.w1.weight)), self.w2.weight)


def swiglu_d_ff(d_model: int) -> int:
    """Return 8/3 d_model rounded up to a multiple of 64, which matrix products like."""
    return -(-8 * d_model // (3 * 64)) * 64
