"""Rotary position embedding: queries and keys turn with their position.

Coordinates (2k, 2k+1) of a vector are taken as a point of the plane and turned by the angle
`position * theta ** (-2k / d_k)`. The product of a query and a key then depends on their
distance alone (Su et al. 2021, eq. 34).
"""

from collections.abc import Callable
from typing import Self

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Buffer, Module

from contracts import contract
from nn.fused.rope import cpu_rope
from nn.token_ids import check_ids
from nn.triton_kernels.selection import fused_serves, kernels_serve


@contract
def rope(
    x: Float[Tensor, "*batch d_k"],
    cos: Float[Tensor, "*#batch d_k//2"],
    sin: Float[Tensor, "*#batch d_k//2"],
) -> Float[Tensor, "*batch d_k"]:
    """Turn each pair (2k, 2k+1) of `x` by the angle whose cosine and sine are given.

    Computed in the wider of the dtypes of `x` and the tables, returned in the dtype of `x`.
    """
    tables_fixed = not (cos.requires_grad or sin.requires_grad)
    if tables_fixed and fused_serves(x.device, x.dtype):
        return cpu_rope(x, cos, sin)
    # (a, b) becomes (a cos - b sin, b cos + a sin). As whole rows, so that no pass is strided:
    # x times doubled cosines, plus x with its pairs swapped times sines of alternating sign.
    doubled_cos = torch.stack((cos, cos), dim=-1).flatten(-2)
    signed_sin = torch.stack((-sin, sin), dim=-1).flatten(-2)
    swapped = rearrange(x, "... (pairs two) -> ... pairs two", two=2).flip(-1).flatten(-2)
    return (x * doubled_cos + swapped * signed_sin).to(x.dtype)


class RotaryPositionalEmbedding(Module):
    """Own the cosines and sines of all positions below `max_seq_len`.

    The tables are neither parameters nor part of the state dict: theta, d_k and the length say all.
    An odd d_k raises ValueError, a position outside the table IndexError on the CPU.
    """

    cos: Float[Tensor, "max_seq_len half_d_k"]
    sin: Float[Tensor, "max_seq_len half_d_k"]

    def __init__(
        self,
        theta: float,
        d_k: int,
        max_seq_len: int,
        *,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if d_k % 2 != 0:
            raise ValueError(f"d_k={d_k} is odd: RoPE turns pairs of coordinates")
        self.theta = theta
        self.d_k = d_k
        self.max_seq_len = max_seq_len
        self.cos = Buffer(torch.empty(0, device=device), persistent=False)
        self.sin = Buffer(torch.empty(0, device=device), persistent=False)
        self._fill_tables()

    def _fill_tables(self) -> None:
        # Angles reach max_seq_len radians, so they are formed in float64 and rounded once.
        device = self.cos.device
        exponents = torch.arange(0, self.d_k, 2, dtype=torch.float64) / self.d_k
        positions = torch.arange(self.max_seq_len, dtype=torch.float64)
        angles = torch.outer(positions, self.theta**-exponents)
        self.cos = angles.cos().to(device, torch.float32)
        self.sin = angles.sin().to(device, torch.float32)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # `model.to(torch.bfloat16)` must not round the tables, nor `to_empty` leave them unset.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._fill_tables()
        return self

    @contract
    def forward(
        self,
        x: Float[Tensor, "*batch seq d_k"],
        positions: Int[Tensor, "*#batch seq"] | None = None,
    ) -> Float[Tensor, "*batch seq d_k"]:
        """Turn `x` by its positions, which count from 0 when none are given."""
        return rope(x, *self._tables(0, x.shape[-2], positions))

    @contract
    def turn_heads(
        self,
        q: Float[Tensor, "*batch heads seq d_k"],
        k: Float[Tensor, "*batch kv_heads seq d_k"],
        positions: Int[Tensor, "*#batch seq"] | None = None,
        *,
        start: int = 0,
    ) -> tuple[Float[Tensor, "*batch heads seq d_k"], Float[Tensor, "*batch kv_heads seq d_k"]]:
        """Turn queries and keys, all heads of a token by its position, as `forward` would.

        Positions count from `start` when none are given.
        """
        per_head = None if positions is None else positions.unsqueeze(-2)
        cos, sin = self._tables(start, q.shape[-2], per_head)
        if positions is None and kernels_serve(q.device, q.dtype, fusible=True):
            from nn.triton_kernels.rope import fused_rope

            flat_q, flat_k = (rearrange(t, "... h s d -> (...) h s d") for t in (q, k))
            turned_q, turned_k = fused_rope(flat_q, flat_k, cos, sin)
            return turned_q.reshape(q.shape), turned_k.reshape(k.shape)
        return rope(q, cos, sin), rope(k, cos, sin)

    def _tables(self, start: int, seq: int, positions: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the cosines and sines of `positions`, or of `seq` ones from `start`."""
        if positions is None:
            end = start + seq
            if end > self.max_seq_len:
                raise ValueError(f"{end} positions exceed max_seq_len={self.max_seq_len}")
            return self.cos[start:end], self.sin[start:end]
        check_ids(positions, self.max_seq_len, what="position")
        return self.cos[positions], self.sin[positions]

    def extra_repr(self) -> str:
        """Show the settings in the model's printout."""
        return f"theta={self.theta:g}, d_k={self.d_k}, max_seq_len={self.max_seq_len}"
