"""How weights begin: normal numbers with the tails cut off."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from contracts import contract

_CUT = 3.0


@contract
def truncated_normal(
    shape: Sequence[int],
    std: float,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "..."]:
    """Draw from N(0, std^2) conditioned on lying within 3 standard deviations of 0.

    The inverse of the distribution function maps uniform numbers straight into the cut range, so
    nothing is drawn twice and the result depends on the generator alone. Numbers are drawn in
    float32 on the generator's device: one seed gives the same weights on every device and dtype.
    """
    on_meta = device is not None and torch.device(device).type == "meta"
    source = generator.device if generator is not None and not on_meta else device
    # The uniform number u in (-1, 1) stands for the probability (1 + u) / 2.
    edge = math.erf(_CUT / math.sqrt(2.0))
    numbers = torch.empty(tuple(shape), device=source, dtype=torch.float32)
    numbers.uniform_(-edge, edge, generator=None if on_meta else generator)
    numbers.erfinv_().mul_(math.sqrt(2.0) * std).clamp_(-_CUT * std, _CUT * std)
    return numbers.to(device=device, dtype=dtype or torch.get_default_dtype())
