"""What the optimizers here share, on top of `torch.optim.Optimizer`.

`step` collects the parameters that have a gradient and refuses what cannot be updated before it
changes anything; a subclass says how one group is updated. State is kept in at least float32, and
`load_state_dict` restores it in that dtype: the class from torch would round the moments of a
bfloat16 parameter to bfloat16 on every resume.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

# Torch wraps these in a decorator that imports its compiler on the first call: three seconds, and
# nothing to compile.
_add_param_group = inspect.unwrap(Optimizer.add_param_group)
_load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
_state_dict = inspect.unwrap(Optimizer.state_dict)
_zero_grad = inspect.unwrap(Optimizer.zero_grad)

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class GroupOptimizer(Optimizer):
    """An optimizer whose whole behaviour is `_check_group`, `_check_parameter` and `_update`."""

    def _check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError if a hyperparameter of `group` is out of its range."""
        raise NotImplementedError

    def _check_parameter(self, parameter: Tensor, name: str) -> None:
        """Raise ValueError if `parameter`, known to the user as `name`, cannot be optimized."""
        if not parameter.is_floating_point():
            raise ValueError(
                f"{type(self).__name__} updates real floating point tensors; {name} "
                f"of shape {tuple(parameter.shape)} has dtype {parameter.dtype}"
            )

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Update `parameters` of `group` in place; each has a dense gradient."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, whose own hyperparameters win over the defaults.

        Raises ValueError, before anything is added, for a value out of range.
        """
        self._check_group({**self.defaults, **param_group})
        _add_param_group(self, param_group)
        index = len(self.param_groups) - 1
        try:
            for position, parameter in enumerate(self.param_groups[index]["params"]):
                self._check_parameter(parameter, self._name_of(index, position))
        except ValueError:
            del self.param_groups[index]
            raise

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; return the loss that `closure` computes.

        Raises ValueError, before any parameter changes, if a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = [
            (group, self._with_gradient(group, index))
            for index, group in enumerate(self.param_groups)
        ]
        with torch.no_grad():
            for group, parameters in work:
                if parameters:
                    self._update(group, parameters)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or fill them with zeros."""
        _zero_grad(self, set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return groups and state, the parameters by number."""
        saved: dict[str, Any] = _state_dict(self)
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore groups and state; tensors are copied, and kept in at least float32.

        Also reads what the class of the same name in `torch.optim` saved. Raises ValueError, before
        anything is restored, if a state tensor has another shape than its parameter.
        """
        saved = [index for group in state_dict["param_groups"] for index in group["params"]]
        own = [parameter for group in self.param_groups for parameter in group["params"]]
        pairs = [
            (parameter, state_dict["state"][index])
            for index, parameter in zip(saved, own, strict=False)
            if index in state_dict["state"]
        ]
        for position, (parameter, state) in enumerate(pairs):
            for key, value in state.items():
                if key != "step" and value.shape != parameter.shape:
                    raise ValueError(
                        f"state {key!r} of parameter {position} has shape {tuple(value.shape)}, "
                        f"the parameter has {tuple(parameter.shape)}: it was saved by another model"
                    )
        defaults = dict(self.defaults)
        _load_state_dict(self, state_dict)
        # Torch has added one of its own, which would come into the groups and the next state dict.
        self.defaults = defaults
        for parameter, state in pairs:
            self.state[parameter] = {
                key: int(value)
                if key == "step"
                else value.to(parameter.device, _state_dtype(parameter), copy=True)
                for key, value in state.items()
            }
        for group in self.param_groups:
            for key, value in self.defaults.items():
                group.setdefault(key, value)

    def _new_state(self, parameter: Tensor) -> Tensor:
        """Return zeros shaped like `parameter` in the dtype that its state is kept in."""
        return torch.zeros_like(parameter, dtype=_state_dtype(parameter))

    def _with_gradient(self, group: dict[str, Any], index: int) -> list[Tensor]:
        parameters = []
        for position, parameter in enumerate(group["params"]):
            if parameter.grad is None:
                continue
            if parameter.grad.layout != torch.strided:
                raise ValueError(
                    f"{type(self).__name__} needs dense gradients; that of "
                    f"{self._name_of(index, position)} is sparse: build its embedding "
                    f"without sparse=True"
                )
            parameters.append(parameter)
        return parameters

    def _name_of(self, index: int, position: int) -> str:
        group = self.param_groups[index]
        if "param_names" in group:
            return f"parameter {group['param_names'][position]!r}"
        return f"parameter {position} of group {index}"


def _state_dtype(parameter: Tensor) -> torch.dtype:
    return torch.promote_types(parameter.dtype, torch.float32)
