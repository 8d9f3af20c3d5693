from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from trainer.plots import _draw_losses, plot_curves, smooth


def rows(count: int) -> list[dict[str, float]]:
    found = [
        {"step": n, "train_loss": 1 + 5 / n, "learning_rate": 0.1 / n} for n in range(1, count + 1)
    ]
    for row in found[2::3]:
        row["val_loss"] = row["train_loss"] + 0.1
    return found


@pytest.mark.parametrize("count", [1, 2, 101])
@pytest.mark.parametrize("floor", [None, 0.7])
def test_picture_has_its_size_and_is_not_empty(
    tmp_path: Path, count: int, floor: float | None
) -> None:
    plot_curves(rows(count), tmp_path / "c.png", title="a run", floor=floor)
    picture = imread(tmp_path / "c.png")
    assert picture.shape[:2] == (810, 1350)
    assert picture[..., :3].min() < 0.5


def test_floor_can_be_seen(tmp_path: Path) -> None:
    for name, floor in (("with", 0.7), ("without", None)):
        plot_curves(rows(11), tmp_path / f"{name}.png", title="a run", floor=floor)
    assert (imread(tmp_path / "with.png") != imread(tmp_path / "without.png")).any()


def test_loss_that_is_no_number_does_not_stop_the_drawing(tmp_path: Path) -> None:
    broken = [*rows(5), {"step": 6, "train_loss": float("nan"), "learning_rate": 0.1}]
    plot_curves(broken, tmp_path / "c.png", title="a run")
    assert (tmp_path / "c.png").exists()


def test_smoothing_keeps_a_straight_line() -> None:
    line = np.linspace(3.0, 7.0, 501)
    np.testing.assert_allclose(smooth(line), line, rtol=1e-12)


def test_smoothing_takes_noise_away_and_keeps_the_ends() -> None:
    noise = np.random.default_rng(3).normal(size=1009)
    smoothed = smooth(noise, share=0.1)
    assert smoothed[100:-100].std() < noise.std() / 5
    assert (smoothed[0], smoothed[-1]) == pytest.approx((noise[0], noise[-1]))


@pytest.mark.parametrize(
    ("train", "floor", "side"), [(2.0, 0.2, "top"), (0.5, 0.2, "bottom"), (2.0, 0.9, "bottom")]
)
def test_last_loss_is_written_where_neither_curve_nor_floor_is(
    train: float, floor: float, side: str
) -> None:
    axes = Figure().subplots()
    last = {"step": 1, "train_loss": train, "val_loss": 1.0, "learning_rate": 0.1}
    _draw_losses(axes, [last], floor)
    (label,) = (text for text in axes.texts if text.get_text() == "1.000")
    assert label.get_verticalalignment() == side
