"""The picture of a run: losses against steps, and the learning rate below."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

INK, MUTED, GRID = "#24292f", "#6e7781", "#e6e8eb"
TRAIN, VALID, FLOOR, RATE = "#8aa9d6", "#1f5fbf", "#c2410c", "#7a8794"


def plot_curves(
    rows: Sequence[dict[str, Any]], path: Path, *, title: str, floor: float | None = None
) -> None:
    """Draw `rows` of metrics.jsonl to a PNG; `floor` is the loss of a perfect model."""
    figure = Figure(figsize=(9, 5.4), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=[6, 1])
    _draw_losses(losses, rows, floor)
    _draw_rates(rates, rows)
    losses.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=14)
    losses.legend(
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.4,
        ncols=3,
        labelcolor=INK,
        fontsize=10,
    )
    figure.savefig(path)


def smooth(values: npt.NDArray[np.float64], share: float = 0.02) -> npt.NDArray[np.float64]:
    """Average each value with its neighbours, over a window of `share` of all values.

    The window shrinks at the ends, so the curve starts and ends where the values do.
    """
    reach = int(len(values) * share / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    width = np.minimum(reach, np.minimum(places, len(values) - 1 - places))
    means: npt.NDArray[np.float64] = (sums[places + width + 1] - sums[places - width]) / (
        2 * width + 1
    )
    return means


def _draw_losses(axes: Axes, rows: Sequence[dict[str, Any]], floor: float | None) -> None:
    steps, train = _series(rows, "train_loss")
    valid_steps, valid = _series(rows, "val_loss")
    axes.plot(steps, train, color=TRAIN, linewidth=0.8, alpha=0.4)
    axes.plot(steps, smooth(train), color=TRAIN, linewidth=1.8, label="training")
    axes.plot(
        valid_steps, valid, color=VALID, linewidth=2, marker="o", markersize=4.5, label="validation"
    )
    if floor is not None:
        axes.axhline(floor, color=FLOOR, linewidth=1.4, linestyle=(0, (5, 3)))
        _label(axes, f"entropy of the text: {floor:.3f}", (0.012, floor), (0, -4), FLOOR, "left")
    if len(valid):
        # On the side where the other curve is not, if the floor leaves room for it. In axes
        # coordinates across, so that the label stays inside the picture.
        below = len(train) and train[-1] > valid[-1] > 1.2 * (floor or 0.0)
        shift = (0, -7 if below else 7)
        _label(axes, f"{valid[-1]:.3f}", (0.995, valid[-1]), shift, VALID, "right")
    _scale_losses(axes, train, valid, floor)
    axes.set_ylabel("loss in nats per token", color=MUTED)
    _style(axes)


def _label(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    shift: tuple[float, float],
    color: str,
    side: Literal["left", "right"],
) -> None:
    axes.annotate(
        text,
        place,
        xycoords=axes.get_yaxis_transform(),
        xytext=shift,
        textcoords="offset points",
        ha=side,
        va="bottom" if shift[1] > 0 else "top",
        color=color,
        fontsize=10,
        fontweight="bold",
    )


def _scale_losses(
    axes: Axes, train: npt.NDArray[Any], valid: npt.NDArray[Any], floor: float | None
) -> None:
    """Use a log axis, so that the last tenths can be seen beside the first nats."""
    shown = [*train, *valid, *([floor] if floor is not None else [])]
    finite = [value for value in shown if np.isfinite(value) and value > 0]
    axes.set_yscale("log")
    if not finite:
        return
    low, high = min(finite) * 0.8, max(finite) * 1.08
    axes.set_ylim(low, high)
    ticks = [t for t in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10) if low <= t <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)


def _draw_rates(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    steps, rates = _series(rows, "learning_rate")
    axes.plot(steps, rates, color=RATE, linewidth=1.4)
    axes.fill_between(steps, rates, color=RATE, alpha=0.15)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("rate", color=MUTED)
    axes.set_xlabel("step", color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(2))
    _style(axes)


def _series(
    rows: Sequence[dict[str, Any]], key: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    pairs = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    values = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def _style(axes: Axes) -> None:
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0)
    axes.margins(x=0.01)
    for spine in axes.spines.values():
        spine.set_visible(False)
