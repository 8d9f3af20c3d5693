"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

`adamw_update` is the algorithm for one tensor, written to be read. `AdamW` does the same
arithmetic by `torch._foreach_*` over all tensors of a group at once (`foreach=False` makes it call
`adamw_update` instead), or with `fused=True` by one compiled pass over each tensor; tests hold all
three equal. Not offered: amsgrad, maximize, complex parameters, a learning rate in a tensor.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from contracts import contract
from optim.checks import check_between, check_not_negative
from optim.optimizer import GroupOptimizer, Parameters

# One update reads and writes five arrays of this many elements (5 MB in float32): on a CPU they
# stay in the cache between the seven passes.
_CPU_BLOCK = 2**18

# A parameter, its gradient, and both moments.
_Row = tuple[Tensor, Tensor, Tensor, Tensor]


@contract
def adamw_update(
    parameter: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    exp_avg: Float[Tensor, "*shape"],
    exp_avg_sq: Float[Tensor, "*shape"],
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Apply update number `step` (from 1) to `parameter` and both moments, in place.

    Computed in the dtype of the moments; the parameter is rounded once, at the end.
    """
    beta1, beta2 = betas
    gradient = gradient.to(exp_avg.dtype)
    exp_avg.mul_(beta1).add_(gradient, alpha=1 - beta1)
    exp_avg_sq.mul_(beta2).add_(gradient.square(), alpha=1 - beta2)

    mean = exp_avg / (1 - beta1**step)
    variance = exp_avg_sq / (1 - beta2**step)
    decayed = parameter.to(exp_avg.dtype) * (1 - lr * weight_decay)
    parameter.copy_(decayed - lr * mean / (variance.sqrt() + eps))


class AdamW(GroupOptimizer):
    """Adam with decoupled weight decay; arguments, defaults and state keys as `torch.optim.AdamW`.

    Each group may have its own lr, betas, eps and weight_decay. State dicts are exchangeable with
    the class in torch. `fused` updates each tensor in one pass over memory; the first step compiles
    it, which takes seconds, and on a CPU a C++ compiler. Raises ValueError for a value out of
    range.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        foreach: bool = True,
        fused: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative("lr", group["lr"])
        check_not_negative("eps", group["eps"])
        check_not_negative("weight_decay", group["weight_decay"])
        if len(group["betas"]) != 2:
            raise ValueError(f"betas={group['betas']!r} must be two numbers in [0, 1)")
        for index, beta in enumerate(group["betas"]):
            check_between(f"betas[{index}]", beta, 0.0, 1.0)

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        by_step: defaultdict[Any, list[_Row]] = defaultdict(list)
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state["exp_avg"] = self._new_state(parameter)
                state["exp_avg_sq"] = self._new_state(parameter)
            state["step"] += 1
            # A fused call needs one device, one dtype and one bias correction.
            key = (state["step"], parameter.device, parameter.dtype)
            by_step[key].append((parameter, gradient, state["exp_avg"], state["exp_avg_sq"]))
        settings = {key: group[key] for key in ("lr", "betas", "eps", "weight_decay")}
        for (step, device, _), rows in by_step.items():
            if group["fused"]:
                _update_in_one_pass(rows, step=step, **settings)
            elif not group["foreach"]:
                for row in rows:
                    adamw_update(*row, step=step, **settings)
            elif device.type == "cpu":
                for block in _cut_in_blocks(rows):
                    _update_together(*block, step=step, **settings)
            else:
                columns = [list(column) for column in zip(*rows, strict=True)]
                _update_together(*columns, step=step, **settings)


def _update_together(
    parameters: list[Tensor],
    gradients: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Do `adamw_update` to tensors of one device and dtype that are all at update `step`.

    Both bias corrections are moved out of the arrays:
    lr m/c1 / (sqrt(v/c2) + eps) = (lr sqrt(c2)/c1) m / (sqrt(v) + eps sqrt(c2)).
    """
    beta1, beta2 = betas
    correction1 = 1 - beta1**step
    root_correction2 = (1 - beta2**step) ** 0.5

    exact = parameters
    if parameters[0].dtype != exp_avgs[0].dtype:
        exact = [parameter.to(exp_avgs[0].dtype) for parameter in parameters]
    gradients = [gradient.to(exp_avgs[0].dtype) for gradient in gradients]

    torch._foreach_lerp_(exp_avgs, gradients, 1 - beta1)
    torch._foreach_mul_(exp_avg_sqs, beta2)
    torch._foreach_addcmul_(exp_avg_sqs, gradients, gradients, 1 - beta2)
    denominators = torch._foreach_sqrt(exp_avg_sqs)
    torch._foreach_add_(denominators, eps * root_correction2)
    if weight_decay:
        torch._foreach_mul_(exact, 1 - lr * weight_decay)
    torch._foreach_addcdiv_(exact, exp_avgs, denominators, -lr * root_correction2 / correction1)

    if exact is not parameters:
        torch._foreach_copy_(parameters, exact)


def _update_in_one_pass(
    rows: list[_Row],
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Do `adamw_update` to every row, with the bias corrections of `_update_together`."""
    beta1, beta2 = betas
    root_correction2 = (1 - beta2**step) ** 0.5
    rate = lr * root_correction2 / (1 - beta1**step)
    numbers = [1 - beta1, beta2, 1 - beta2, eps * root_correction2, 1 - lr * weight_decay, rate]
    # In a tensor, as the compiler takes a number for a constant.
    settings = rows[0][2].new_tensor(numbers)
    # The largest first: from the first it sees, the compiler tells whether threads are worth it.
    for row in sorted(rows, key=lambda row: row[0].numel(), reverse=True):
        if all(tensor.is_contiguous() for tensor in row):
            # As vectors that are nobody's views: of all kinds, the compiler has to know one.
            _compiled_pass()(*(tensor.view(-1).data for tensor in row), settings)
            # Of what is done to `data`, autograd hears nothing.
            torch.autograd.graph.increment_version(row[0])
        else:
            _compiled_pass()(*row, settings)


@cache
def _compiled_pass() -> Callable[..., None]:
    # Not before it is wanted: the compiler takes seconds to import.
    return torch.compile(_one_pass, dynamic=True)


def _one_pass(
    parameter: Tensor, gradient: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, settings: Tensor
) -> None:
    weight1, beta2, weight2, eps, decay, rate = settings.unbind()
    gradient = gradient.to(exp_avg.dtype)
    exp_avg.add_((gradient - exp_avg) * weight1)
    exp_avg_sq.copy_(exp_avg_sq * beta2 + gradient.square() * weight2)
    decayed = parameter.to(exp_avg.dtype) * decay
    parameter.copy_(decayed - rate * exp_avg / (exp_avg_sq.sqrt() + eps))


def _cut_in_blocks(
    rows: list[_Row],
) -> Iterator[tuple[list[Tensor], ...]]:
    """Yield the tensors of `rows` in blocks, each as four lists of one tensor."""
    for row in rows:
        if row[0].numel() <= _CPU_BLOCK or not all(tensor.is_contiguous() for tensor in row):
            yield tuple([tensor] for tensor in row)
        else:
            pieces = [torch.split(tensor.view(-1), _CPU_BLOCK) for tensor in row]
            yield from (tuple([piece] for piece in block) for block in zip(*pieces, strict=True))
