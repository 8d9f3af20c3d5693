"""How large weights, gradients and activations are, layer by layer: what `--log-norms` writes.

A run that goes wrong shows it here first: one layer's gradient that vanishes or explodes, a stream
that grows from block to block, weights that the decay no longer holds.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import Module

from contracts import contract
from nn import TransformerLM


@contract
def measure_norms(
    model: TransformerLM,
    inputs: Int[Tensor, "batch seq"],
    documents: Int[Tensor, "batch seq"] | None = None,
) -> dict[str, dict[str, float]]:
    """Return the L2 norm of every weight and gradient, and the root mean square of activations.

    Those are what embeddings, every block and the last norm put out for `inputs`, in one more
    forward pass without gradients; `documents` are the model's. Neither weights nor gradients
    are changed.
    """
    weights = dict(model.named_parameters())
    gradients = {name: w.grad for name, w in weights.items() if w.grad is not None}
    return {
        "weights": _l2_norms(weights),
        "gradients": _l2_norms(gradients),
        "activations": _activations(model, inputs, documents),
    }


def _activations(
    model: TransformerLM, inputs: Tensor, documents: Tensor | None
) -> dict[str, float]:
    found: dict[str, Tensor] = {}
    watched: dict[str, Module] = {"token_embeddings": model.token_embeddings}
    watched |= {f"layers.{index}": layer for index, layer in enumerate(model.layers)}
    watched["ln_final"] = model.ln_final

    def watch(name: str, module: Module) -> Any:
        def note(_module: Module, _arguments: Any, output: Tensor) -> None:
            found[name] = output.float().square().mean().sqrt()

        return module.register_forward_hook(note)

    handles = [watch(name, module) for name, module in watched.items()]
    try:
        with torch.no_grad():
            model.hidden_states(inputs, documents=documents)
    finally:
        for handle in handles:
            handle.remove()
    return _floats(found)


def _l2_norms(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    if not tensors:
        return {}
    norms = torch._foreach_norm([tensor.detach() for tensor in tensors.values()], 2)
    return _floats(dict(zip(tensors, norms, strict=True)))


def _floats(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Read all scalars at once: each read by itself would wait for the device."""
    values = torch.stack([scalar.float() for scalar in scalars.values()]).tolist()
    return dict(zip(scalars, values, strict=True))
