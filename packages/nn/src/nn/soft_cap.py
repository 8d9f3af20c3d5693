"""Logits that cannot grow without bound."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from contracts import contract


def checked_cap(cap: float) -> float:
    """Return the cap; raise ValueError if it is not a positive number."""
    if isinstance(cap, bool) or not 0.0 < cap < math.inf:
        raise ValueError(f"soft_cap={cap!r} is not a positive number")
    return float(cap)


@contract
def soft_cap(x: Float[Tensor, "*shape"], cap: int | float) -> Float[Tensor, "*shape"]:
    """Bend `x` into (-cap, cap): `cap * tanh(x / cap)`, which is nearly `x` where `x` is small.

    Gemma Team 2024, "Gemma 2", section 2, with 30 for the logits of the vocabulary. Computed in
    float32 at least, returned in the dtype of `x`. A cap that is not a positive number raises
    ValueError.
    """
    cap = checked_cap(cap)
    numbers = x.to(torch.promote_types(x.dtype, torch.float32))
    return ((numbers / cap).tanh() * cap).to(x.dtype)
