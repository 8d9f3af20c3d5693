"""Pictures for papers: training and validation curves of several runs, on white, at 300 dpi."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainer.past_run import PastRun
from trainer.plots import GRID, INK, MUTED, smooth

# Those of the page's light theme.
COLORS = (
    "#2563eb",
    "#e8590c",
    "#0c9268",
    "#9333ea",
    "#d6246e",
    "#0a8fb0",
    "#a16207",
    "#64748b",
)
# The column of metrics.jsonl, the axis's label, and how the file is called.
AXES = (("step", "step", "steps"), ("seconds", "seconds of training", "seconds"))

# The share of a run's logged steps over which its training line is averaged.
SMOOTHED = 0.05
LEGEND = f"validation (thin: training, averaged over {SMOOTHED:.0%}\nof the run; faint: as logged)"


def draw_figures(runs: Sequence[PastRun], stem: Path) -> list[Path]:
    """Draw losses against steps and against seconds; return the files, named after `stem`."""
    drawn = []
    for key, label, name in AXES:
        path = stem.with_name(f"{stem.name}-{name}.png")
        _draw(runs, key, label, path)
        drawn.append(path)
    return drawn


def _draw(runs: Sequence[PastRun], key: str, label: str, path: Path) -> None:
    figure = Figure(figsize=(5.5, 3.4), dpi=300, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shown = [draw_run(axes, run, key, place) for place, run in enumerate(runs)]
    _scale(axes, [value for values in shown for value in values])
    axes.set_xlabel(label, color=INK, fontsize=9)
    axes.set_ylabel("loss (nats per token)", color=INK, fontsize=9)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    if any(shown):
        axes.legend(
            frameon=False,
            fontsize=8,
            labelcolor=INK,
            loc="upper right",
            title=LEGEND,
            title_fontsize=7,
        )
    figure.savefig(path)


def draw_run(axes: Axes, run: PastRun, key: str, place: int) -> list[float]:
    """Draw both curves of a run; return the losses that should be seen."""
    color = COLORS[place % len(COLORS)]
    style = "-" if place < len(COLORS) else "--"
    train = _points(run, key, "train_loss")
    valid = _points(run, key, "val_loss")
    smoothed = smooth(train[:, 1], share=SMOOTHED)
    axes.plot(train[:, 0], train[:, 1], color=color, linewidth=0.4, alpha=0.2)
    axes.plot(train[:, 0], smoothed, color=color, linewidth=0.8, linestyle=style, alpha=0.55)
    axes.plot(
        valid[:, 0],
        valid[:, 1],
        color=color,
        linewidth=1.6,
        linestyle=style,
        marker="o",
        markersize=2.6,
        label=run.name,
    )
    return [*smoothed, *valid[:, 1]]


def _points(run: PastRun, key: str, metric: str) -> npt.NDArray[np.float64]:
    pairs = [
        (row[key], row[metric])
        for row in run.rows
        if isinstance(row.get(metric), int | float) and isinstance(row.get(key), int | float)
    ]
    values = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return values[np.isfinite(values).all(axis=1)]


def _scale(axes: Axes, values: Sequence[float]) -> None:
    positive = [value for value in values if value > 0]
    if not positive:
        return
    low, high = min(positive) * 0.9, max(positive) * 1.08
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = [t for t in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10) if low <= t <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
