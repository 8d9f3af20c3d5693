"""Muon: momentum whose update matrix is made nearly orthogonal (Jordan et al. 2024).

For the hidden matrices of a model; embeddings, output head, gains and biases want AdamW
(`optim.parameter_groups` sorts them). Matrices of one shape are orthogonalized together, as one
batch. Source: https://kellerjordan.github.io/posts/muon/; "match_rms_adamw" is from Liu et al.
2025, "Muon is Scalable for LLM Training".
"""

import math
from collections import defaultdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from contracts import contract
from optim.checks import check_between, check_not_negative
from optim.optimizer import GroupOptimizer, Parameters

_DTYPES = ("bfloat16", "float32", "auto")
_RATES = ("original", "match_rms_adamw", "spectral_unclamped")


@contract
def newton_schulz(
    matrix: Float[Tensor, "*batch rows columns"],
    *,
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
    dtype: torch.dtype = torch.bfloat16,
) -> Float[Tensor, "*batch rows columns"]:
    """Return, in `dtype`, the singular vectors of `matrix` with singular values near 1.

    Iterates X <- a X + b (X X^T) X + c (X X^T)^2 X on the matrix divided by its Frobenius norm, in
    `dtype`: a polynomial in the singular values alone. These coefficients are steepest at zero,
    so that five steps take every value above about 1e-3 into 0.7 to 1.2; it never becomes exact.
    """
    a, b, c = coefficients
    x = matrix.to(dtype).reshape(-1, *matrix.shape[-2:])
    tall = x.shape[-2] > x.shape[-1]
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps)
    # The Gram matrix is the smaller one when rows are the shorter side.
    if tall:
        x = x.mT.contiguous()
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).reshape(matrix.shape)


class Muon(GroupOptimizer):
    """Momentum orthogonalized by Newton-Schulz; arguments and defaults as `torch.optim.Muon`.

    `adjust_lr_fn` scales the rate of a (rows, columns) matrix: "original" (also None) by
    sqrt(max(1, rows / columns)); "match_rms_adamw" by 0.2 sqrt(max(rows, columns)), so that rates
    and decay tuned for AdamW carry over; "spectral_unclamped" by sqrt(rows / columns). Weight decay
    is decoupled and not scaled. `ns_dtype` is what Newton-Schulz computes in: "bfloat16" as in
    torch, "float32", or "auto", which is float32 on a CPU. Where float32 takes a gradient that
    differs in its last bit, as several processes may sum it, to an update that differs in its last
    bits, rounding to bfloat16 can make 0.4% of it; it takes twice the time on a CPU and more on a
    GPU. Raises ValueError for a value out of range and for a parameter that is not a matrix, by
    name where `params` are named.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        ns_dtype: str = "bfloat16",
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "ns_dtype": ns_dtype,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative("lr", group["lr"])
        check_not_negative("weight_decay", group["weight_decay"])
        check_not_negative("eps", group["eps"])
        check_between("momentum", group["momentum"], 0.0, 1.0)
        check_between("ns_steps", group["ns_steps"], 1, 100)
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(f"ns_coefficients={group['ns_coefficients']!r} must be three numbers")
        if group["adjust_lr_fn"] is not None and group["adjust_lr_fn"] not in _RATES:
            raise ValueError(f"adjust_lr_fn={group['adjust_lr_fn']!r} must be one of {_RATES}")
        if group["ns_dtype"] not in _DTYPES:
            raise ValueError(f"ns_dtype={group['ns_dtype']!r} must be one of {_DTYPES}")

    def _check_parameter(self, parameter: Tensor, name: str) -> None:
        super()._check_parameter(parameter, name)
        if parameter.ndim != 2:
            raise ValueError(
                f"Muon updates matrices only; {name} has shape {tuple(parameter.shape)}: "
                f"give it to AdamW (see optim.parameter_groups)"
            )

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        momentum = group["momentum"]
        same_shape = defaultdict(list)
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = self._new_state(parameter)
            key = (parameter.device, parameter.dtype, parameter.shape)
            same_shape[key].append((parameter, parameter.grad, state["momentum_buffer"]))
        for (_, _, shape), rows in same_shape.items():
            matrices, gradients, buffers = (list(column) for column in zip(*rows, strict=True))
            gradients = [gradient.to(buffers[0].dtype) for gradient in gradients]
            torch._foreach_lerp_(buffers, gradients, 1 - momentum)
            updates = buffers
            if group["nesterov"]:
                updates = list(torch._foreach_lerp(gradients, buffers, momentum))
            orthogonal = newton_schulz(
                torch.stack(updates),
                coefficients=tuple(group["ns_coefficients"]),
                steps=group["ns_steps"],
                eps=group["eps"],
                dtype=_dtype(group["ns_dtype"], matrices[0].device),
            )
            rate = group["lr"] * _rate_factor(group["adjust_lr_fn"], *shape)
            # In the dtype of the state: in bfloat16 the factor of the decay would round to 1 or to
            # twice the decay, and each rounding of the weights would lose what is smaller.
            exact = [matrix.to(updates[0].dtype) for matrix in matrices]
            if group["weight_decay"]:
                torch._foreach_mul_(exact, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(exact, list(orthogonal.to(exact[0].dtype).unbind()), alpha=-rate)
            if exact[0] is not matrices[0]:
                torch._foreach_copy_(matrices, exact)


def _dtype(name: str, device: torch.device) -> torch.dtype:
    exact = name == "float32" or (name == "auto" and device.type == "cpu")
    return torch.float32 if exact else torch.bfloat16


def _rate_factor(adjust_lr_fn: str | None, rows: int, columns: int) -> float:
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    if adjust_lr_fn == "spectral_unclamped":
        return math.sqrt(rows / columns)
    return math.sqrt(max(1.0, rows / columns))
