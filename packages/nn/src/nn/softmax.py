"""From any numbers to probabilities."""

import torch
from jaxtyping import Float
from torch import Tensor

from contracts import contract


@contract
def softmax(x: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
    """Exponentiate `x` and divide by the sum along `dim`.

    The maximum is subtracted first: it cancels in the quotient, and no exponential overflows.
    Computed in float32 at least. A slice that is -inf throughout has no distribution: it gives NaN.
    """
    numbers = x.to(torch.promote_types(x.dtype, torch.float32))
    # The quotient does not depend on the shift, so the maximum needs no gradient.
    exponentials = (numbers - numbers.detach().amax(dim, keepdim=True)).exp_()
    return (exponentials / exponentials.sum(dim, keepdim=True)).to(x.dtype)
