"""Learning rates as pure functions of the iteration: warm up, hold or fall, end.

`it` counts optimizer steps from 0. Each warms up linearly, from 0 at `it=0` to the maximum at
`it=warmup_iters`, and stays at its last value forever after. Set the result as `group["lr"]`.
"""

import math
from typing import Literal


def cosine_lr(
    it: int,
    max_learning_rate: float,
    min_learning_rate: float,
    warmup_iters: int,
    cosine_cycle_iters: int,
) -> float:
    """Warm up, then fall along half a cosine to the minimum at `cosine_cycle_iters`.

    Both are counted from step 0, so the fall takes `cosine_cycle_iters - warmup_iters` steps
    (Loshchilov and Hutter 2017, eq. 5, without restarts).
    """
    _check(it, max_learning_rate, min_learning_rate, warmup_iters)
    _check_end("cosine_cycle_iters", cosine_cycle_iters, warmup_iters)
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    left = 0.5 * (1 + math.cos(math.pi * _progress(it, warmup_iters, cosine_cycle_iters)))
    return min_learning_rate + left * (max_learning_rate - min_learning_rate)


def linear_lr(
    it: int,
    max_learning_rate: float,
    min_learning_rate: float,
    warmup_iters: int,
    total_iters: int,
) -> float:
    """Warm up, then fall along a straight line to the minimum at `total_iters`."""
    _check(it, max_learning_rate, min_learning_rate, warmup_iters)
    _check_end("total_iters", total_iters, warmup_iters)
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    left = 1 - _progress(it, warmup_iters, total_iters)
    return min_learning_rate + left * (max_learning_rate - min_learning_rate)


def wsd_lr(
    it: int,
    max_learning_rate: float,
    min_learning_rate: float,
    warmup_iters: int,
    decay_start_iters: int,
    total_iters: int,
    *,
    decay: Literal["linear", "sqrt"] = "linear",
) -> float:
    """Warm up, hold the maximum until `decay_start_iters`, then fall to the minimum.

    All three are counted from step 0 (warm-up, stable, decay: Hu et al. 2024). With "sqrt" the part
    that is left is 1 - sqrt(progress), which Haegele et al. 2024 found better than the line.
    """
    _check(it, max_learning_rate, min_learning_rate, warmup_iters)
    _check_end("decay_start_iters", decay_start_iters, warmup_iters)
    if total_iters < decay_start_iters:
        raise ValueError(
            f"total_iters={total_iters} must be at least decay_start_iters={decay_start_iters}"
        )
    if decay not in ("linear", "sqrt"):
        raise ValueError(f"decay={decay!r} must be 'linear' or 'sqrt'")
    if it < warmup_iters:
        return it / warmup_iters * max_learning_rate
    progress = _progress(it, decay_start_iters, total_iters)
    left = 1 - (math.sqrt(progress) if decay == "sqrt" else progress)
    return min_learning_rate + left * (max_learning_rate - min_learning_rate)


def constant_lr(it: int, max_learning_rate: float, warmup_iters: int = 0) -> float:
    """Warm up, then hold the maximum."""
    _check(it, max_learning_rate, 0.0, warmup_iters)
    return max_learning_rate * min(1.0, it / warmup_iters) if warmup_iters else max_learning_rate


def _progress(it: int, start: int, end: int) -> float:
    """Return the part of [start, end] that is over at `it`; 0 at `start` even if that is `end`."""
    if it <= start:
        return 0.0
    return 1.0 if it >= end else (it - start) / (end - start)


def _check(it: int, highest: float, lowest: float, warmup_iters: int) -> None:
    if it < 0:
        raise ValueError(f"it={it} must be at least 0")
    if warmup_iters < 0:
        raise ValueError(f"warmup_iters={warmup_iters} must be at least 0")
    if not 0 <= lowest <= highest < math.inf:
        raise ValueError(
            f"min_learning_rate={lowest!r} must be in [0, max_learning_rate={highest!r}]"
        )


def _check_end(name: str, end: int, warmup_iters: int) -> None:
    if end < warmup_iters:
        raise ValueError(f"{name}={end} must be at least warmup_iters={warmup_iters}")
