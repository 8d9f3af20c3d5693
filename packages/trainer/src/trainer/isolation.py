"""Documents that share a window are kept apart, on request: none is attended to from another."""

from jaxtyping import Int
from torch import Tensor

from contracts import contract
from nn import document_numbers


@contract
def isolation(
    token_ids: Int[Tensor, "batch seq"], separator: int | None
) -> dict[str, Int[Tensor, "batch seq"]]:
    """Return the argument that tells a model's loss or forward to keep documents apart.

    There is none where `separator`, with which each document begins, is None.
    """
    return {} if separator is None else {"documents": document_numbers(token_ids, separator)}
