// The page: what a person has chosen, the sections, and how they move together.

const report = JSON.parse(document.getElementById("data").textContent);
const runs = report.runs.map((run, index) => ({ ...run, index }));
const view = { axis: "step", logX: false, smoothing: 0.6, range: null, hidden: new Set() };

// The choices are kept in the address, so that a view can be sent to somebody.
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("x") in AXES) view.axis = given.get("x");
  view.logX = given.get("logx") === "1";
  const smoothing = Number(given.get("smooth") ?? NaN);
  if (smoothing >= 0 && smoothing < 1) view.smoothing = smoothing;
  for (const name of given.getAll("hide")) {
    for (const run of runs) if (run.name === name) view.hidden.add(run.index);
  }
}

function writeAddress() {
  const chosen = new URLSearchParams();
  if (view.axis !== "step") chosen.set("x", view.axis);
  if (view.logX) chosen.set("logx", "1");
  if (view.smoothing !== 0.6) chosen.set("smooth", view.smoothing);
  for (const run of runs) if (view.hidden.has(run.index)) chosen.append("hide", run.name);
  const text = chosen.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

function buildCharts(onHover, onRange) {
  const logged = new Set(runs.flatMap((run) => Object.keys(run.columns)));
  const floors = [...new Set(runs.map((run) => run.floor).filter((floor) => floor !== null))];
  const common = { runs, view, onHover, onRange };
  const charts = [makeChart({ ...common, title: "Loss", note: "nats per token",
    keys: ["train_loss", "val_loss"].filter((key) => logged.has(key)), smooth: true, logY: true,
    tall: true, floors })];
  const shown = new Set([...Object.keys(AXES), "train_loss", "val_loss"]);
  for (const key of logged) {
    if (shown.has(key)) continue;
    const known = METRICS[key] || { title: key.replaceAll("_", " "), smooth: true };
    charts.push(makeChart({ ...common, ...known, keys: [key], logY: false, floors: [] }));
  }
  return charts;
}

function build() {
  readAddress();
  const reset = el("button", { type: "button", class: "toggle", hidden: true,
    onclick: () => setRange(null) }, "whole range");
  const drawAll = () => { for (const chart of charts) chart.draw(); };
  const setRange = (range) => { view.range = range; reset.hidden = !range; drawAll(); };
  const charts = buildCharts(
    (x, own) => { for (const chart of charts) chart.hover(x, chart === own); }, setRange);
  const changed = () => { writeAddress(); drawAll(); };

  const amount = el("output", {}, view.smoothing.toFixed(2));
  const slider = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: view.smoothing,
    id: "smoothing", oninput: () => {
      view.smoothing = Number(slider.value);
      amount.textContent = view.smoothing.toFixed(2);
      changed();
    } });
  const axes = Object.entries(AXES).filter(([key]) => runs.some((run) => run.columns[key]));
  const controls = el("div", { class: "controls" },
    choice("horizontal axis", axes, view.axis, (axis) => { view.axis = axis; setRange(null); writeAddress(); }),
    toggle("log x", view.logX, (on) => { view.logX = on; changed(); }, "logarithmic x axis"),
    el("label", { class: "slider" }, "Smoothing", slider, amount), reset);

  const cards = runs.map((run) => card(run, view, (which, show) => {
    if (show) view.hidden.delete(which.index);
    else view.hidden.add(which.index);
    changed();
  }));

  document.getElementById("page").replaceChildren(...[
    el("header", { class: "top" }, el("h1", {}, report.title), el("p", {}, report.subtitle)),
    el("div", { class: "cards" }, cards),
    controls,
    el("div", { class: "charts" }, charts.map((chart) => chart.node)),
    el("p", { class: "quiet hint" }, "Thick lines and dots are the validation loss, thin ones the training loss. ",
      "Point at a curve for its values, drag to look closer, double-click for the whole. ",
      "Values are those logged; smoothing changes only the training's lines.",
      runs.length > 1 ? " Runs are ranked by their loss where they were validated on the same tokens, by bits per byte "
        + "where their tokenizers differ, and not at all where the text does." : null),
    samplesSection(runs), settingsSection(runs), originSection(runs),
  ].filter(Boolean));

  drawAll();
  new ResizeObserver(drawAll).observe(document.getElementById("page"));
}

build();
