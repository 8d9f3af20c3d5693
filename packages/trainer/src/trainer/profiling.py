"""A trace of some steps, for https://ui.perfetto.dev or chrome://tracing: `--profile STEPS`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

# The first steps allocate and compile; they say nothing about those that follow.
SKIPPED, WARM_UP = 4, 1
TRACE = "trace.json"


@contextmanager
def profiled(steps: int, directory: Path, device: torch.device) -> Iterator[Callable[[], None]]:
    """Trace `steps` steps after the first ones into `directory`; yield what ends a step.

    With 0 steps nothing happens. What was traced of a run that is shorter is written at its end.
    """
    if not steps:
        yield lambda: None
        return

    def write(profiler: "profile") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = directory / f"unfinished-{TRACE}"
        profiler.export_chrome_trace(str(unfinished))
        unfinished.replace(directory / TRACE)

    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    plan = schedule(skip_first=SKIPPED, wait=0, warmup=WARM_UP, active=steps, repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=write) as profiler:
        yield profiler.step
