"""Optimizers and learning rates as the configuration names them."""

from collections.abc import Sequence
from typing import Any

from torch.nn import Module
from torch.optim import Optimizer

from optim import AdamW, Muon, constant_lr, cosine_lr, linear_lr, parameter_groups, wsd_lr
from trainer.config import OptimizerConfig, ScheduleConfig


def build_optimizers(model: Module, config: OptimizerConfig) -> list[Optimizer]:
    """Return AdamW over all parameters, or Muon over the layers' matrices and AdamW over the rest.

    Every parameter group keeps its peak rate as `peak_lr`. Muon computes in float32 on a CPU, so
    that several processes take the steps that one takes.
    """
    groups = parameter_groups(model, weight_decay=config.weight_decay)
    adamw_groups: list[dict[str, Any]] = [groups.other, groups.undecayed]
    optimizers: list[Optimizer] = []
    if config.name == "muon":
        settings: dict[str, Any] = {
            "lr": config.muon_lr,
            "momentum": config.muon_momentum,
            "ns_dtype": "auto",
        }
        optimizers.append(Muon([groups.matrices], **settings))
    else:
        adamw_groups.insert(0, groups.matrices)
    # A tied head leaves no parameter of its own.
    filled = [group for group in adamw_groups if group["params"]]
    optimizers.append(AdamW(filled, lr=config.lr, betas=config.betas, eps=config.eps))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def learning_rate_factor(step: int, config: ScheduleConfig, max_steps: int) -> float:
    """Return the share of the peak rate at `step`, counted from 1 to `max_steps`."""
    warmup = min(config.warmup_steps, max_steps)
    if config.name == "constant":
        return constant_lr(step, 1.0, warmup)
    if config.name == "wsd":
        decay_start = max(warmup, round(max_steps * (1 - config.decay_ratio)))
        return wsd_lr(step, 1.0, config.min_lr_ratio, warmup, decay_start, max_steps)
    falling = linear_lr if config.name == "linear" else cosine_lr
    return falling(step, 1.0, config.min_lr_ratio, warmup, max_steps)


def set_learning_rates(optimizers: Sequence[Optimizer], factor: float) -> None:
    """Set each group's rate to `factor` times its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group["peak_lr"]
