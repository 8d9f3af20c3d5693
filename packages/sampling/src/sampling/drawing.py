"""From filtered logits and one random number per sequence to the next tokens."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from contracts import contract
from nn import softmax


@contract
def draw(
    logits: Float[Tensor, "*batch vocab"], uniforms: Float64[Tensor, "*batch"]
) -> Int64[Tensor, "*batch"]:
    """Draw one id per row from softmax(logits): the first whose cumulative share is above the row's
    uniform number in [0, 1).

    One number decides one row, so that a row's draw depends on its own generator alone. A token of
    probability 0 is never drawn.
    """
    shares = softmax(logits.double()).cumsum(-1)
    # Divided by their last, the shares end in exactly 1, which every uniform number is below.
    shares = shares / shares[..., -1:]
    return torch.searchsorted(shares, uniforms.unsqueeze(-1), right=True).squeeze(-1)
