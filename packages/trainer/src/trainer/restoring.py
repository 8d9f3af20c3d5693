"""The state of a run between the disk and the live objects: collect it, check it, put it back.

Every name, shape, type and number is compared with the model and the optimizers before any of them
is touched, so that a state that does not fit changes nothing.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

from contracts import contract
from optim.optimizer import GroupOptimizer
from trainer.archives import CorruptCheckpointError


@dataclass(frozen=True)
class Counters:
    """How far a run has come: steps taken, tokens seen, seconds in the loop."""

    step: int
    tokens: int
    seconds: float
    skipped: int = 0
    """Steps whose update was left out because a number was not finite."""
    unfinished: bool = False
    """Whether a signal cut off the evaluation or the sample of this step."""
    row: dict[str, Any] = field(default_factory=dict)
    """What is to be logged of a step that is not finished; else empty."""
    loss_scale: float = 0.0
    """The scale of losses in float16, and the steps since it was changed; 0 where there is none."""
    good_steps: int = 0
    spikes: int = 0
    """Steps whose update was left out because they stood out from those before."""
    recent: list[list[float]] = field(default_factory=list)
    """Loss and gradient norm of the last steps, where spikes are looked for."""


@contract
def collect_weights(model: Module) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the state dict with every tensor once: a tied weight has one of its names."""
    unique = {id(p): (name, p) for name, p in model.state_dict(keep_vars=True).items()}
    return {name: p.detach().contiguous() for name, p in unique.values()}


def collect_state(
    model: Module, optimizers: Sequence[Optimizer], counters: Counters
) -> dict[str, Any]:
    """Return all of a run but the weights, as plain data."""
    generators = {"cpu": torch.get_rng_state()}
    if (device := _device(model)).type == "cuda":
        generators["cuda"] = torch.cuda.get_rng_state(device)
    return {
        "optimizers": [_with_one_of_each_string(o.state_dict()) for o in optimizers],
        "counters": asdict(counters),
        "generators": generators,
    }


def _with_one_of_each_string(data: Any) -> Any:
    """Return plain data that an archive holds in the same bytes whether it was loaded or not.

    A string is written once for each object that it is: names in the source are one, those of an
    archive are others.
    """
    if isinstance(data, dict):
        return {_with_one_of_each_string(k): _with_one_of_each_string(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_with_one_of_each_string(value) for value in data]
    return sys.intern(data) if isinstance(data, str) else data


@contract
def first_not_finite(tensors: Mapping[str, Shaped[Tensor, "..."]]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity, None where all are finite."""
    return next((name for name, tensor in tensors.items() if not _is_finite(tensor)), None)


def _is_finite(tensor: Tensor) -> bool:
    # What is not finite stays so in a sum, which is one pass without memory of its own. A sum of
    # finite numbers may overflow, so that only a finite one is an answer.
    return math.isfinite(tensor.sum().item()) or bool(torch.isfinite(tensor).all())


@contract
def state_tensors(optimizers: Sequence[Mapping[str, Any]]) -> dict[str, Shaped[Tensor, "..."]]:
    """Name the tensors in state dicts of optimizers: `optimizers.0.state.3.exp_avg`."""
    return {
        f"optimizers.{number}.state.{index}.{key}": value
        for number, saved in enumerate(optimizers)
        for index, entry in saved["state"].items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }


@contract
def check_weights(where: str, weights: Mapping[str, Shaped[Tensor, "..."]], model: Module) -> None:
    """Raise CorruptCheckpointError unless the weights have the model's names, shapes and types."""
    expected = model.state_dict(keep_vars=True)
    # A tied weight is stored under one of its names.
    once = {id(p): name for name, p in expected.items()}
    different = set(once.values()) - weights.keys() | weights.keys() - expected.keys()
    if different:
        raise CorruptCheckpointError(
            f"{where} holds other weights than the model: {min(different)!r} is on one side only"
        )
    for name, tensor in weights.items():
        _check_like(where, name, tensor, expected[name])
    _check_finite(where, weights)


def check_state(where: str, state: Any, optimizers: Sequence[Optimizer]) -> Counters:
    """Return the counters of a state that fits the optimizers.

    Raises CorruptCheckpointError that names the first thing that is missing or different.
    """
    try:
        saved, counters, generators = (state[k] for k in ("optimizers", "counters", "generators"))
        if len(saved) != len(optimizers):
            raise ValueError(f"it has {len(saved)} optimizers, the run {len(optimizers)}")
        for number, (entry, optimizer) in enumerate(zip(saved, optimizers, strict=True)):
            check_optimizer(f"{where}: optimizers.{number}", entry, optimizer)
        _check_like(where, "generators.cpu", generators["cpu"], torch.get_rng_state())
        return _read_counters(counters)
    except CorruptCheckpointError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise CorruptCheckpointError(f"{where} does not fit the run: {error}") from None


@contract
def apply(
    weights: Mapping[str, Shaped[Tensor, "..."]],
    state: Mapping[str, Any],
    model: Module,
    optimizers: Sequence[Optimizer],
) -> None:
    """Put checked weights and a checked state into the live objects."""
    model.load_state_dict(dict(weights), strict=False)
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    torch.set_rng_state(state["generators"]["cpu"])
    # A run may go on with a GPU that it was begun without, or the other way round.
    if (device := _device(model)).type == "cuda" and "cuda" in state["generators"]:
        torch.cuda.set_rng_state(state["generators"]["cuda"], device)


def check_optimizer(where: str, saved: Any, optimizer: Optimizer) -> None:
    """Raise CorruptCheckpointError unless a state dict fits the optimizer.

    Of optimizers of other libraries only the groups are known; of ours all.
    """
    try:
        groups, entries = saved["param_groups"], saved["state"]
        own = [group["params"] for group in optimizer.param_groups]
        if [len(group["params"]) for group in groups] != [len(params) for params in own]:
            raise ValueError("its parameter groups are of other sizes")
        places = {
            index: p
            for g, ps in zip(groups, own, strict=True)
            for index, p in zip(g["params"], ps, strict=True)
        }
        if len(places) != sum(map(len, own)) or not entries.keys() <= places.keys():
            raise ValueError("its parameters are not numbered as they should be")
        if isinstance(optimizer, GroupOptimizer):
            for group, live in zip(groups, optimizer.param_groups, strict=True):
                # Torch adds this one to the groups of an optimizer that was loaded once.
                for key in live.keys() - {"differentiable"}:
                    if key not in group:
                        raise ValueError(f"a group lacks {key!r}")
                    listed = isinstance(live[key], tuple | list)
                    if listed and len(group[key]) != len(live[key]):
                        raise ValueError(f"{key!r} of a group is {group[key]!r}")
            names = _state_names(optimizer)
            for index, parameter in places.items():
                _check_entry(where, f"state.{index}", entries, index, parameter, names)
    except CorruptCheckpointError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptCheckpointError(f"{where} does not fit the optimizer: {error}") from None
    _check_finite(where, state_tensors([saved]))


def _check_entry(
    where: str,
    name: str,
    entries: Mapping[int, Mapping[str, Any]],
    index: int,
    parameter: Tensor,
    names: frozenset[str],
) -> None:
    """Compare the state of one parameter with what the optimizer keeps for it."""
    if not entries:
        # Saved before the first step.
        return
    entry = entries[index]
    if entry.keys() != names:
        raise ValueError(f"{name} holds {sorted(entry)} instead of {sorted(names)}")
    like = torch.empty_like(parameter, dtype=torch.promote_types(parameter.dtype, torch.float32))
    for key, value in entry.items():
        if key != "step":
            _check_like(where, f"{name}.{key}", value, like)
        elif int(value) < 1:
            raise ValueError(f"{name}.step is {value!r}")


def _state_names(optimizer: GroupOptimizer) -> frozenset[str]:
    """Return what an optimizer keeps per parameter, by asking one of its kind after a step."""
    parameter = Parameter(torch.zeros(1, 1))
    parameter.grad = torch.zeros(1, 1)
    kind: Any = type(optimizer)
    twin = kind([parameter])
    twin.step()
    return frozenset(twin.state[parameter])


def _check_like(where: str, name: str, found: Any, expected: Tensor) -> None:
    if not isinstance(found, Tensor):
        raise CorruptCheckpointError(f"{where}: {name} is {found!r:.80}, not a tensor")
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise CorruptCheckpointError(
            f"{where}: {name} is {found.dtype} of shape {tuple(found.shape)}, "
            f"the run has {expected.dtype} of shape {tuple(expected.shape)}"
        )


def _check_finite(where: str, tensors: Mapping[str, Shaped[Tensor, "..."]]) -> None:
    if name := first_not_finite(tensors):
        raise CorruptCheckpointError(f"{where}: {name} holds numbers that are not finite")


def _device(model: Module) -> torch.device:
    return next(model.parameters()).device


def _read_counters(saved: Mapping[str, Any]) -> Counters:
    if saved.keys() != {entry.name for entry in fields(Counters)}:
        raise ValueError(f"its counters are {sorted(saved)}")
    counters = Counters(**saved)
    for name in ("step", "tokens", "skipped", "good_steps", "spikes"):
        value = getattr(counters, name)
        if type(value) is not int or value < 0:
            raise ValueError(f"counters.{name} is {value!r:.80}")
    for name in ("seconds", "loss_scale"):
        value = getattr(counters, name)
        if type(value) is not float or not math.isfinite(value) or value < 0:
            raise ValueError(f"counters.{name} is {value!r:.80}")
    for pair in counters.recent:
        if len(pair) != 2 or not all(type(v) is float and math.isfinite(v) for v in pair):
            raise ValueError(f"counters.recent holds {pair!r:.80}")
    if type(counters.unfinished) is not bool or type(counters.row) is not dict:
        raise ValueError(f"counters.unfinished is {counters.unfinished!r:.80}")
    return counters
