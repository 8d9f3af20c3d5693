"""What a contract's verdict depends on, as a hashable key: shapes, dtypes, types, small values."""

import numpy as np
import torch
from torch.nn import Parameter

# Containers that a checker looks into, at a place that it may choose at random.
OPAQUE = (list, dict, set, frozenset)


class Unknown(Exception):
    """A value whose contents may change the verdict: it has to be checked each time."""


def signature(value: object) -> object:
    """Return a key that is equal for values which no annotation can tell apart.

    A tensor or an array counts by its class, shape and dtype; integers, booleans, strings and None
    by their value, since axis sizes and `Literal` may name them; tuples by their elements; anything
    else by its class. Lists, dicts and sets raise Unknown.
    """
    kind = type(value)
    if kind is torch.Tensor or kind is Parameter:
        return kind, value.shape, value.dtype  # type: ignore[attr-defined]
    if kind is tuple:
        return tuple([signature(element) for element in value])  # type: ignore[attr-defined]
    if value is None or isinstance(value, int | str):
        return kind, value
    if isinstance(value, torch.Tensor | np.ndarray):
        return kind, value.shape, value.dtype
    if isinstance(value, OPAQUE):
        raise Unknown
    return kind
