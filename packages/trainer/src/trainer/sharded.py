"""Each process keeps a part of every tensor (FSDP): weights, gradients and moments.

`fully_shard` gathers the weights of a layer just before they are needed, and sums and cuts their
gradients. The optimizers, whose arithmetic is the same for each element, work on the local parts,
which are plain tensors. What is saved is whole, so that any number of processes can go on from it.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Shard
from torch.optim import Optimizer

from contracts import contract
from nn import TransformerLM
from optim import Muon
from trainer.config import TrainConfig
from trainer.devices import should_compile
from trainer.optimization import build_optimizers
from trainer.restoring import first_not_finite
from trainer.team import Spread, Team

# As in `clip_grad_norm`.
_EPS = 1e-6


class Sharded(Spread):
    """A part of the model and of its optimizers' state, cut along the first axis of each tensor."""

    def __init__(
        self,
        model: TransformerLM,
        optimizers: list[Optimizer],
        config: TrainConfig,
        team: Team,
        device: torch.device,
    ) -> None:
        super().__init__(model, optimizers, compiled=False)
        self._team = team
        self._config = config
        self._device = device
        self._mesh = init_device_mesh(device.type, (team.size,))
        whole = dict(self.tensors)
        # A tied weight has two names.
        first_name = {id(tensor): name for name, tensor in whole.items()}
        self._names = {
            name: first_name[id(tensor)]
            for name, tensor in model.named_parameters(remove_duplicate=False)
        }
        self.compiled = should_compile(config.compile, device)
        for layer in model.layers:
            if self.compiled:
                layer.compile()
            fully_shard(layer, mesh=self._mesh)
        fully_shard(model, mesh=self._mesh)
        register_fsdp_forward_method(model, "loss")
        # Outside of forward and backward, these are the model's parameters.
        self._parameters: dict[str, Any] = dict(model.named_parameters())
        self.loss = model.loss
        self.tensors = {name: p.detach().to_local() for name, p in self._parameters.items()}
        self.optimizers = [
            self._of_parts(optimizer, {whole[name]: name for name in whole})
            for optimizer in optimizers
        ]

    def _of_parts(self, optimizer: Optimizer, names: Mapping[Tensor, str]) -> Optimizer:
        """Return an optimizer with the same state that updates parts of the tensors `names`."""
        groups = [
            {**group, "params": [self.tensors[names[tensor]] for tensor in group["params"]]}
            for group in optimizer.param_groups
        ]
        parts: Any
        if isinstance(optimizer, Muon):
            parts = WholeMatrixMuon(groups, self)
        else:
            kind: Any = type(optimizer)
            parts = kind(groups)
        for tensor, state in optimizer.state.items():
            parts.state[self.tensors[names[tensor]]] = {
                key: self.cut(value).to(self._device, copy=True)
                if isinstance(value, Tensor)
                else value
                for key, value in state.items()
            }
        result: Optimizer = parts
        return result

    @contract
    def cut(self, whole: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Return this process's rows of a tensor, as `fully_shard` cuts them."""
        rows = -(-len(whole) // self._team.size)
        return whole[self._team.rank * rows :][:rows]

    @contract
    def gather(self, name: str, part: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Return the whole of a tensor that is cut as the weight `name` is."""
        like = self._parameters[name]
        cut = DTensor.from_local(
            part, self._mesh, [Shard(0)], run_check=False, shape=like.shape, stride=like.stride()
        )
        whole: Tensor = cut.full_tensor()
        return whole

    @contract
    def measure(self, mean: Float[Tensor, ""]) -> tuple[float, float]:
        for name, parameter in self._parameters.items():
            gradient, parameter.grad = parameter.grad, None
            self.tensors[name].grad = None if gradient is None else gradient.to_local()
        found = self._team.gather(*super().measure(mean))
        return sum(loss for loss, _ in found) / len(found), math.hypot(*(norm for _, norm in found))

    def clip(self, grad_norm: float, largest: float) -> None:
        if grad_norm > largest:
            gradients = [part.grad for part in self.tensors.values() if part.grad is not None]
            torch._foreach_mul_(gradients, largest / (grad_norm + _EPS))

    @contract
    def first_not_finite(self, tensors: Mapping[str, Shaped[Tensor, "..."]]) -> str | None:
        names = [*tensors, None]
        found = self._team.gather(names.index(first_not_finite(tensors)))
        return names[int(min(index for (index,) in found))]

    def whole_model(self) -> TransformerLM:
        return self._collect(self._device)

    def whole(self) -> tuple[TransformerLM, list[Optimizer]]:
        # In memory of the CPU: a GPU may have no room for it.
        cpu = torch.device("cpu")
        model = self._collect(cpu)
        names = {id(part): name for name, part in self.tensors.items()}
        parameters = dict(model.named_parameters())
        whole = build_optimizers(model, self._config.optimizer)
        for own, other in zip(self.optimizers, whole, strict=True):
            for group, filled in zip(own.param_groups, other.param_groups, strict=True):
                filled.update({key: group[key] for key in group if key != "params"})
            for part, state in own.state.items():
                name = names[id(part)]
                gathered = {
                    key: self.gather(name, value).to(cpu) if isinstance(value, Tensor) else value
                    for key, value in state.items()
                }
                if self._team.leads:
                    other.state[parameters[name]] = gathered
        return model, whole

    def _collect(self, device: torch.device) -> TransformerLM:
        model = TransformerLM(self._config.model, device="meta")
        # One at a time: processes that do not write drop each as soon as they have helped with it.
        weights = {}
        for name, part in self.tensors.items():
            weight = self.gather(name, part).to(device)
            if self._team.leads:
                weights[name] = weight
        if self._team.leads:
            named = {name: weights[first] for name, first in self._names.items()}
            model.adopt_weights(named, device=device)
        return model


class WholeMatrixMuon(Muon):
    """Muon on parts of matrices: each matrix is put together for its update, one at a time.

    Newton-Schulz needs all rows and columns. Every process does the same update and keeps its part:
    time that more processes do not shorten, for state that they do.
    """

    def __init__(self, groups: list[dict[str, Any]], spread: Sharded) -> None:
        super().__init__(groups)
        self._spread = spread
        self._names = {id(part): name for name, part in spread.tensors.items()}

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for part in parameters:
            name = self._names[id(part)]
            if not self.state[part]:
                self.state[part]["momentum_buffer"] = self._new_state(part)
            momentum = self.state[part]["momentum_buffer"]
            matrix = self._spread.gather(name, part)
            assert part.grad is not None
            matrix.grad = self._spread.gather(name, part.grad)
            self.state[matrix]["momentum_buffer"] = self._spread.gather(name, momentum)
            super()._update(group, [matrix])
            part.copy_(self._spread.cut(matrix))
            momentum.copy_(self._spread.cut(self.state.pop(matrix)["momentum_buffer"]))
