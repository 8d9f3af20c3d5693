"""Filters: pure functions from logits to logits, each over the last axis.

A filter removes a token by setting its logit to -inf, and never removes the likeliest. Values out
of range raise ValueError.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from contracts import contract
from nn import softmax
from sampling.config import SamplingConfig
from sampling.ranges import (
    check_min_p,
    check_repetition_penalty,
    check_temperature,
    check_top_k,
    check_top_p,
)

# Tokens among which top-p is looked for first. A trained model is seldom less sure than that.
FEW_TOKENS = 512


@contract
def temperature(
    logits: Float[Tensor, "*batch vocab"], value: float | int
) -> Float[Tensor, "*batch vocab"]:
    """Divide `logits` by `value`; 0 keeps the largest alone, the first among equals."""
    check_temperature(value)
    if value == 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.full_like(logits, -math.inf).scatter(-1, best, logits.gather(-1, best))
    return logits / value


@contract
def top_k(logits: Float[Tensor, "*batch vocab"], k: int) -> Float[Tensor, "*batch vocab"]:
    """Keep the `k` largest logits, and those equal to the smallest of them (Fan et al. 2018)."""
    check_top_k(k)
    if k >= logits.shape[-1]:
        return logits
    smallest = logits.topk(k).values[..., -1:]
    return logits.masked_fill(logits < smallest, -math.inf)


@contract
def top_p(logits: Float[Tensor, "*batch vocab"], p: float | int) -> Float[Tensor, "*batch vocab"]:
    """Keep the fewest likeliest tokens whose probabilities reach `p` (Holtzman et al. 2020).

    Among equally likely tokens the smaller id is kept first. Computed in float32 at least.
    """
    check_top_p(p)
    probabilities = softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)))
    ids = _likeliest(logits, probabilities, p)
    # A token goes if it and all less likely ones together have no more than 1 - p. Summed from the
    # smallest: the other way round, p = 1 would lose the tail to rounding.
    others = probabilities.scatter(-1, ids, 0).sum(-1, keepdim=True)
    tail = others + probabilities.gather(-1, ids).flip(-1).cumsum(-1).flip(-1)
    kept = tail > 1 - p
    kept[..., 0] = True
    removed = torch.ones_like(logits, dtype=torch.bool).scatter(-1, ids, ~kept)
    return logits.masked_fill(removed, -math.inf)


def _likeliest(logits: Tensor, probabilities: Tensor, p: float | int) -> Tensor:
    """Return ids from the likeliest on: all, or a few that are sure to have `p` together.

    To put a whole vocabulary in order can take as long as the model.
    """
    if logits.shape[-1] > FEW_TOKENS:
        values, ids = logits.topk(FEW_TOKENS)
        # Of tokens equal to the last, others may have been left out, with smaller ids.
        sure = values > values[..., -1:]
        if bool(((probabilities.gather(-1, ids) * sure).sum(-1) > p).all()):
            ids = ids.sort().values
            return ids.gather(-1, logits.gather(-1, ids).argsort(descending=True, stable=True))
    return logits.argsort(descending=True, stable=True)


@contract
def min_p(
    logits: Float[Tensor, "*batch vocab"], fraction: float | int
) -> Float[Tensor, "*batch vocab"]:
    """Keep tokens at least `fraction` times as probable as the likeliest (Nguyen et al. 2024)."""
    check_min_p(fraction)
    if fraction == 0:
        return logits
    # p >= fraction * p_max, in logarithms: the softmax's denominator cancels.
    smallest = logits.amax(-1, keepdim=True) + math.log(fraction)
    return logits.masked_fill(logits < smallest, -math.inf)


@contract
def repetition_penalty(
    logits: Float[Tensor, "*batch vocab"], seen: Bool[Tensor, "*batch vocab"], penalty: float | int
) -> Float[Tensor, "*batch vocab"]:
    """Divide positive logits of tokens that were `seen` by `penalty`, multiply negative ones by it.

    Both make a token less likely when the penalty is above 1 (Keskar et al. 2019, section 4.1).
    """
    check_repetition_penalty(penalty)
    penalized = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, penalized, logits)


@contract
def apply_filters(
    logits: Float[Tensor, "*batch vocab"],
    config: SamplingConfig,
    seen: Bool[Tensor, "*batch vocab"] | None = None,
) -> Float[Tensor, "*batch vocab"]:
    """Apply the filters that `config` asks for, in its order; `seen` is for the penalty alone."""
    if seen is not None and config.repetition_penalty != 1:
        logits = repetition_penalty(logits, seen, config.repetition_penalty)
    logits = temperature(logits, config.temperature)
    if config.temperature == 0:
        return logits
    if config.top_k is not None:
        logits = top_k(logits, config.top_k)
    if config.top_p is not None:
        logits = top_p(logits, config.top_p)
    if config.min_p is not None:
        logits = min_p(logits, config.min_p)
    return logits
