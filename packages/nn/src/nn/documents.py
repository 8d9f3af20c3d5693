"""Documents that share a sequence: which token is of which, and what each then sees.

Texts are short, and sequences are filled with several. Without more said, attention sees across
their borders, as in GPT-2. With the numbers of documents it does not: each is computed as if it
stood alone. Positions need no reset for that, as RoPE's products know distances alone.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from contracts import contract


@contract
def document_numbers(
    token_ids: Int[Tensor, "*batch seq"], separator: int
) -> Int[Tensor, "*batch seq"]:
    """Number the documents of each sequence: every `separator` begins the next one.

    So it belongs to the document that it begins: the last token before it still learns that the
    document ends there, and the first one after it is predicted from the separator alone.
    """
    return (token_ids == separator).cumsum(-1)


@contract
def document_mask(documents: Int[Tensor, "*batch seq"]) -> Bool[Tensor, "*batch seq seq"]:
    """Let each token see those of its own document, which are those of the same number."""
    return documents.unsqueeze(-1) == documents.unsqueeze(-2)


@contract
def document_begins(documents: Int[Tensor, "*batch seq"]) -> Int[Tensor, "*batch seq"]:
    """Return for each token at which place its document begins.

    Raises ValueError where the numbers fall along a sequence: a document is one piece.
    """
    changes = documents.diff(dim=-1, prepend=documents[..., :1])
    if bool((changes < 0).any()):
        raise ValueError("documents: the numbers fall along a sequence, where they may only rise")
    places = torch.arange(documents.shape[-1], device=documents.device)
    return (places * (changes > 0)).cummax(-1).values
