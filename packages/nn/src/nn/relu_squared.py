"""The feed-forward network whose nonlinearity is a squared ReLU."""

from jaxtyping import Float
from torch import Tensor

from contracts import contract
from nn.ffn import SiLUFFN
from nn.linear import linear


@contract
def relu_squared(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Square the positive numbers and make the others 0 (So et al. 2021, "Primer", section 3)."""
    return x.clamp(min=0.0).square()


class ReLUSquaredFFN(SiLUFFN):
    """Compute `w2 relu(w1 x)^2`: the two matrices of `SiLUFFN`, and another function between them.

    So et al. 2021 found it by a search over programs; it needs no exponential.
    """

    @contract
    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Apply the two products with the squared ReLU between them."""
        return linear(relu_squared(linear(x, self.w1.weight)), self.w2.weight)
