"""The training loss: how surprised the model is by the tokens that came, in nats."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from contracts import contract
from nn.fused.cross_entropy import cpu_cross_entropy, cpu_linear_cross_entropy
from nn.linear import linear
from nn.soft_cap import soft_cap as bend
from nn.token_ids import check_ids
from nn.triton_kernels.selection import autocast_dtype, fused_serves, kernels_serve


@contract
def cross_entropy(
    logits: Float[Tensor, "*batch vocab_size"], targets: Int[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """Average -log softmax(logits)[target] over all positions, in nats.

    It is the log of the sum of exponentials minus the target's logit, so probabilities are never
    built: nothing underflows to log 0, and no logit is too large. A logit of -inf is a token
    that cannot come. Reduced and returned in float32 at least, since bfloat16 would keep only two
    digits of a loss. A target outside the vocabulary raises IndexError on the CPU.
    """
    check_ids(targets, logits.shape[-1], what="target")
    if fused_serves(logits.device, logits.dtype, fusible=True):
        return cpu_cross_entropy(logits, targets)
    numbers = logits.reshape(-1, logits.shape[-1])
    numbers = numbers.to(torch.promote_types(logits.dtype, torch.float32))
    largest = numbers.detach().amax(-1, keepdim=True)
    log_totals = (numbers - largest).exp_().sum(-1).log() + largest.squeeze(-1)
    # Indexed and not gathered: `gather` would keep the logits until the backward pass.
    rows = torch.arange(numbers.shape[0], device=logits.device)
    target_logits = numbers[rows, targets.reshape(-1)]
    return (log_totals - target_logits).mean()


@contract
def linear_cross_entropy(
    hidden: Float[Tensor, "*batch d_model"],
    weight: Float[Tensor, "vocab_size d_model"],
    targets: Int[Tensor, "*batch"],
    *,
    soft_cap: int | float | None = None,
) -> Float[Tensor, ""]:
    """Compute `cross_entropy(linear(hidden, weight), targets)`, with a `soft_cap` of the logits.

    By `nn.fused` or a kernel, the logits are made a slice of the tokens at a time and never kept. A
    target outside the vocabulary raises IndexError on the CPU and makes the loss NaN elsewhere.
    Where the product is in float16, logits are kept. A soft cap that is not a positive number
    raises ValueError.
    """
    dtype = autocast_dtype(hidden.device, hidden.dtype)
    if dtype == torch.float16:
        # The others form gradients before the backward pass, where no loss scale has reached them:
        # a probability over the number of tokens is too small for float16.
        return cross_entropy(_capped(linear(hidden, weight), soft_cap), targets)
    if kernels_serve(hidden.device, dtype):
        from nn.triton_kernels.linear_cross_entropy import fused_linear_cross_entropy

        return fused_linear_cross_entropy(hidden, weight, targets, soft_cap=soft_cap)
    if fused_serves(hidden.device, dtype):
        check_ids(targets, weight.shape[0], what="target")
        return cpu_linear_cross_entropy(hidden, weight, targets, soft_cap=soft_cap)
    return cross_entropy(_capped(linear(hidden, weight), soft_cap), targets)


def _capped(logits: Tensor, soft_cap: float | None) -> Tensor:
    return logits if soft_cap is None else bend(logits, soft_cap)


@contract
def perplexity(
    logits: Float[Tensor, "*batch vocab_size"], targets: Int[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """Return exp of the mean cross-entropy: the number of equally likely tokens it amounts to."""
    return cross_entropy(logits, targets).exp()
