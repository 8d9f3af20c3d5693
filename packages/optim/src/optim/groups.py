"""Sort the parameters of a model by the treatment that they want.

Three kinds: hidden matrices (decayed; the ones for Muon), other decayed weights (the output head,
kernels with more than two axes), and what must not be decayed (embeddings, gains, biases).
"""

from typing import Any, NamedTuple

from torch.nn import Module


class ParameterGroups(NamedTuple):
    """Three groups with named parameters, in the form that `torch.optim` optimizers take."""

    matrices: dict[str, Any]
    other: dict[str, Any]
    undecayed: dict[str, Any]


def parameter_groups(
    model: Module, *, weight_decay: float = 0.1, head: str = "lm_head"
) -> ParameterGroups:
    """Return every parameter of `model` that wants a gradient, in exactly one of three groups.

    One optimizer: `AdamW(parameter_groups(model, weight_decay=0.1), lr=3e-4)`. Two of them:
    `Muon([groups.matrices], lr=0.02)` and `AdamW([groups.other, groups.undecayed], lr=3e-4)`.
    Embeddings are the weights of modules whose class, or one that it derives from, is called
    Embedding, whatever else shares them: a tied head is an embedding. `head` is the name of the
    output projection, which Muon must not get because its columns are as unlike each other as
    embeddings are.
    """
    embeddings = {
        id(parameter)
        for module in model.modules()
        if any(base.__name__ == "Embedding" for base in type(module).__mro__)
        for parameter in module.parameters(recurse=False)
    }
    matrices: list[tuple[str, Any]] = []
    other: list[tuple[str, Any]] = []
    undecayed: list[tuple[str, Any]] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in embeddings or parameter.ndim < 2:
            undecayed.append((name, parameter))
        elif parameter.ndim > 2 or name.split(".")[0] == head:
            other.append((name, parameter))
        else:
            matrices.append((name, parameter))
    return ParameterGroups(
        matrices={"params": matrices, "weight_decay": weight_decay},
        other={"params": other, "weight_decay": weight_decay},
        undecayed={"params": undecayed, "weight_decay": 0.0},
    )
