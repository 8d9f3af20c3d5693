"""Logits that cannot grow without bound."""

import torch
from jaxtyping import Float
from torch import Tensor

from contracts import contract


@contract
def soft_cap(x: Float[Tensor, "*shape"], cap: int | float) -> Float[Tensor, "*shape"]:
    """Bend `x` into (-cap, cap): `cap * tanh(x / cap)`, which is nearly `x` where `x` is small.

    Gemma Team 2024, "Gemma 2", section 2, with 30 for the logits of the vocabulary. Computed in
    float32 at least, returned in the dtype of `x`.
    """
    numbers = x.to(torch.promote_types(x.dtype, torch.float32))
    return ((numbers / cap).tanh() * cap).to(x.dtype)
