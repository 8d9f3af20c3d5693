"""Ids of tokens, or of positions, are indices into a table: here they are held to its size."""

import torch
from jaxtyping import Int
from torch import Tensor

from contracts import contract


@contract
def check_ids(ids: Int[Tensor, "*batch"], size: int, *, what: str) -> None:
    """Raise an IndexError that names the first id outside 0..size-1.

    Only where it is cheap: on an accelerator the answer would have to be waited for, and while
    `torch.compile` traces there are no values yet. There the device's own assertion speaks.
    """
    if torch.compiler.is_compiling() or ids.device.type != "cpu" or ids.numel() == 0:
        return
    # As numbers of Python: in a narrow dtype the size itself may not fit.
    smallest, largest = (int(end) for end in ids.aminmax())
    if smallest >= 0 and largest < size:
        return
    flat = ids.flatten().to(torch.int64)
    place = int(((flat < 0) | (flat >= size)).nonzero()[0])
    raise IndexError(f"{what} {int(flat[place])} at place {place} is outside 0..{size - 1}")
