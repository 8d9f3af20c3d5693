"""The page as a browser shows it."""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import browser
import pytest
from past_runs import metrics_row, write_run

from nn import ModelConfig
from trainer.cli import main
from trainer.config import OptimizerConfig, TrainConfig
from trainer.run_directory import RunDirectory

SLOW, FAST = 0.05, 0.2
HOSTILE = "</script><img src=x onerror='window.hurt=1'><script>window.hurt=1</script>"
LOSSES = 'section[data-chart="train_loss"]'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    yield from browser.start(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two runs of different lengths, made by the command."""
    directory = tmp_path_factory.mktemp("report")
    for name, lr, steps in (("slow", SLOW, 23), ("fast", FAST, 17)):
        config = TrainConfig(
            optimizer=OptimizerConfig(lr=lr),
            objective=f"why {name}? {HOSTILE}",
            model=ModelConfig(d_model=64),
        )
        write_run(directory / name, config, steps=steps)
    RunDirectory(directory / "fast").append_samples(19, [HOSTILE])
    runs = [str(directory / name) for name in ("slow", "fast")]
    assert main(["report", *runs, "--out", str(directory / "out.html")]) == 0
    return directory / "out.html"


def curve(
    page: browser.Page, run: str, key: str, *, chart: str = LOSSES
) -> list[tuple[float, float]]:
    """Return the points of a drawn line in the units of the axes, read off their ticks."""
    selector = f'{chart} path.curve[data-run="{run}"][data-key="{key}"]'
    path = page.evaluate(f"document.querySelector('{selector}').getAttribute('d')")
    pixels = [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]
    to_x, to_y = (axis(page, kind, chart) for kind in ("x", "y"))
    return [(to_x(x), to_y(y)) for x, y in pixels]


def axis(page: browser.Page, kind: str, chart: str = LOSSES) -> Callable[[float], float]:
    """Return what turns a pixel into a value, from two ticks of an axis."""
    place = "t.dataset.at" if kind == "x" else "t.getAttribute('y') - 4"
    ticks = page.evaluate(
        f"[...document.querySelectorAll('{chart} .tick-{kind}')]"
        f".map((t) => [Number({place}), Number(t.dataset.value)])"
    )
    (p, a), (q, b) = ticks[0], ticks[-1]
    pressed = page.evaluate(
        f"""[...document.querySelectorAll('{".controls" if kind == "x" else chart} .toggle')]
        .find((b) => b.textContent === 'log {kind}').getAttribute('aria-pressed')"""
    )

    def value(pixel: float) -> float:
        share = (pixel - p) / (q - p)
        return float(a * (b / a) ** share if pressed == "true" else a + (b - a) * share)

    return value


def logged(lr: float, steps: int, x: str, key: str) -> list[tuple[float, float]]:
    rows = [metrics_row(step, lr) for step in range(1, steps + 1)]
    return [(row[x], row[key]) for row in rows if key in row]


def matches(found: list[tuple[float, float]], expected: list[tuple[float, float]]) -> bool:
    # A hundredth of a pixel is what the path is written in.
    return [pytest.approx(point, rel=1e-3, abs=2e-3) for point in expected] == found


@pytest.mark.parametrize(
    ("view", "x"), [("", "step"), ("x=seconds&", "seconds"), ("x=tokens&", "tokens")]
)
@pytest.mark.parametrize("log", ["", "logx=1&"])
def test_curves_are_drawn_where_the_values_are(
    page: browser.Page, report: Path, view: str, x: str, log: str
) -> None:
    page.open(report, view=f"{view}{log}smooth=0")
    assert matches(curve(page, "slow", "train_loss"), logged(SLOW, 23, x, "train_loss"))
    assert matches(curve(page, "fast", "val_loss"), logged(FAST, 17, x, "val_loss"))


def test_linear_axis_shows_the_same_values(page: browser.Page, report: Path) -> None:
    page.open(report, view="smooth=0")
    page.click(f"{LOSSES} .toggle")
    assert matches(curve(page, "fast", "train_loss"), logged(FAST, 17, "step", "train_loss"))


def test_smoothing_is_an_average_that_starts_at_the_first_value(
    page: browser.Page, report: Path
) -> None:
    page.open(report, view="smooth=0.9")
    values = [y for _, y in logged(SLOW, 23, "step", "train_loss")]
    weights = [[0.9 ** (n - k) for k in range(n + 1)] for n in range(len(values))]
    means = [sum(w * v for w, v in zip(row, values, strict=False)) / sum(row) for row in weights]
    expected = [(n + 1.0, mean) for n, mean in enumerate(means)]
    assert matches(curve(page, "slow", "train_loss"), expected)


def test_slider_changes_the_line(page: browser.Page, report: Path) -> None:
    page.open(report, view="smooth=0.9")
    page.evaluate(
        "(s => { s.value = 0; s.dispatchEvent(new Event('input')) })"
        "(document.getElementById('smoothing'))"
    )
    assert matches(curve(page, "slow", "train_loss"), logged(SLOW, 23, "step", "train_loss"))


@pytest.mark.parametrize("width", [390, 1280])
def test_pointer_shows_the_logged_values_of_every_run(
    page: browser.Page, report: Path, width: int
) -> None:
    page.open(report, width=width, view="smooth=0.9")
    left, top = page.evaluate(
        f"(r => [r.left, r.top])(document.querySelector('{LOSSES} .plot').getBoundingClientRect())"
    )
    to_step = axis(page, "x")
    pixel = min(range(width), key=lambda x: abs(to_step(x) - 13))
    page.move_mouse(left + pixel, top + 60)
    shown = page.evaluate(
        f"[...document.querySelectorAll('{LOSSES} .tip td')].map(c => Number(c.dataset.value))"
    )
    of = {lr: dict(logged(lr, 17, "step", "train_loss")) for lr in (SLOW, FAST)}
    valid = {lr: dict(logged(lr, 17, "step", "val_loss")) for lr in (SLOW, FAST)}
    expected = [of[SLOW][13], valid[SLOW][10], of[FAST][13], valid[FAST][10]]
    assert shown == pytest.approx(expected, rel=1e-6)


def test_arrow_keys_move_along_the_curve(page: browser.Page, report: Path) -> None:
    page.open(report)
    page.evaluate(f"document.querySelector('{LOSSES} .plot').focus()")
    for _ in range(3):
        page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    assert page.evaluate(f"document.querySelector('{LOSSES} .tip b').textContent") == "step 3"


def test_hidden_run_is_not_drawn(page: browser.Page, report: Path) -> None:
    page.open(report)
    page.click('.card[data-run="fast"]')
    runs = "[...new Set([...document.querySelectorAll('.curve')].map((c) => c.dataset.run))]"
    assert page.evaluate(runs) == ["slow"]
    assert page.evaluate("location.hash") == "#hide=fast"


def test_dragging_looks_closer(page: browser.Page, report: Path) -> None:
    page.open(report, view="smooth=0")
    left, top = page.evaluate(
        f"(r => [r.left, r.top])(document.querySelector('{LOSSES} .plot').getBoundingClientRect())"
    )
    for kind, x in (("mousePressed", 400), ("mouseMoved", 600), ("mouseReleased", 600)):
        page.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=left + x,
            y=top + 50,
            button="left",
            buttons=1,
            clickCount=1,
        )
    assert matches(curve(page, "slow", "train_loss"), logged(SLOW, 23, "step", "train_loss"))
    width = page.evaluate(f"document.querySelector('{LOSSES} .plot').clientWidth")
    to_step = axis(page, "x")
    assert to_step(width) - to_step(52) < 7


def test_settings_show_what_differs_first(page: browser.Page, report: Path) -> None:
    page.open(report)
    keys = "[...document.querySelectorAll('#settings tr[data-key]')].map((r) => r.dataset.key)"
    assert page.evaluate(keys) == ["optimizer.lr"]
    marked = "[...document.querySelectorAll('#settings td.other')].map((c) => c.textContent)"
    assert page.evaluate(marked) == ["0.2"]
    page.click('#settings button[data-value="all"]')
    assert {"seed", "model.d_model", "data.vocab_size"} <= set(page.evaluate(keys))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_its_window_and_its_light(
    page: browser.Page, report: Path, width: int, dark: bool
) -> None:
    page.open(report, width=width, dark=dark)
    root = "document.documentElement"
    assert page.evaluate("innerWidth") == width
    assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0
    style = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", style)))
    assert (brightness < 120) is dark
    assert page.errors == []


def test_page_fetches_nothing(page: browser.Page, report: Path) -> None:
    page.open(report)
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_policy_of_the_page_stops_what_would_fetch(page: browser.Page, report: Path) -> None:
    page.open(report)
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'https://localhost/a'}))")
    page.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert any("Content Security Policy" in error for error in page.errors)


def test_text_of_a_run_is_shown_and_never_obeyed(page: browser.Page, report: Path) -> None:
    page.open(report)
    assert page.evaluate("window.hurt") is None
    assert HOSTILE in page.evaluate("document.querySelector('#samples').textContent")
    assert HOSTILE in page.evaluate("document.querySelector('.card').textContent")


def test_samples_of_an_earlier_step_can_be_read(page: browser.Page, report: Path) -> None:
    page.open(report)
    page.evaluate(
        "(s => { s.value = 0; s.dispatchEvent(new Event('input')) })"
        "(document.querySelector('#samples input'))"
    )
    texts = "[...document.querySelectorAll('#samples article p')].map((p) => p.textContent)"
    assert page.evaluate(texts) == ["nonsense", "nonsense"]


def test_loss_that_is_no_number_leaves_a_gap(page: browser.Page, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", TrainConfig(), steps=7)
    RunDirectory(run).append_metrics({"step": 8, "seconds": 4.0, "train_loss": math.nan})
    assert main(["report", str(run), "--out", str(tmp_path / "out.html")]) == 0
    page.open(tmp_path / "out.html", view="smooth=0")
    assert len(curve(page, "run", "train_loss")) == 7


def test_metric_of_evaluations_is_drawn_as_measured_and_lies_within_its_axis(
    page: browser.Page, tmp_path: Path
) -> None:
    run = RunDirectory(write_run(tmp_path / "run", TrainConfig(), steps=3))
    for step, perplexity in ((5, 57.0), (7, 31.0), (11, 13.0)):
        values = {"val_loss": math.log(perplexity), "perplexity": perplexity}
        run.append_metrics({"step": step, "train_loss": 2.0, **values})
    assert main(["report", str(run.path), "--out", str(tmp_path / "out.html")]) == 0
    page.open(tmp_path / "out.html", view="smooth=0.9")
    chart = 'section[data-chart="perplexity"]'
    points = curve(page, "run", "perplexity", chart=chart)
    assert matches(points, [(5, 57.0), (7, 31.0), (11, 13.0)])
    assert page.evaluate(f"document.querySelector('{chart} h3').textContent") == "Perplexity"
    top = page.evaluate(f"Number(document.querySelector('{chart} circle.dot').getAttribute('cy'))")
    assert top >= 0


def test_only_runs_that_compare_are_ranked(page: browser.Page, tmp_path: Path) -> None:
    for name, tokens, loss in (("a", "v", 2.0), ("b", "v", 2.5), ("c", "w", 1.0)):
        hashes = {"tokenizer": "t", "valid_tokens": tokens}
        result = {"val_loss": loss}
        write_run(tmp_path / name, TrainConfig(), data={"sha256": hashes}, result=result)
    runs = [str(tmp_path / name) for name in ("a", "b", "c")]
    assert main(["report", *runs, "--out", str(tmp_path / "out.html")]) == 0
    page.open(tmp_path / "out.html")
    names = "[...document.querySelectorAll('.card .name')].map((n) => n.textContent)"
    assert page.evaluate(names) == ["alowest", "b+0.500", "c"]
