// One chart: lines of all visible runs, a crosshair that all charts share, and values on hover.
//
// `view` is what a person has chosen for the whole page: axis, logX, smoothing, range, hidden.

const MARGIN = { top: 12, right: 14, bottom: 28, left: 52 };
let chartCount = 0;

function makeChart({ title, note, keys, smooth, logY, tall, floors, runs, view, onHover, onRange }) {
  const chart = { title, logY };
  const clipId = `clip-${(chartCount += 1)}`;
  const plot = el("div", { class: tall ? "plot tall" : "plot", tabindex: "0",
    "aria-label": `${title}: arrow keys move along the curve` });
  const tip = el("div", { class: "tip", role: "status", hidden: true });
  chart.node = el("section", { class: tall ? "chart wide" : "chart", "data-chart": keys[0] },
    el("header", {}, el("h3", {}, title, note ? el("small", {}, ` ${note}`) : null),
      toggle("log y", logY, (on) => { chart.logY = on; chart.draw(); }, "logarithmic y axis")),
    plot);
  let [layer, scales, lines, stops] = [null, null, [], []];

  const inRange = ([x]) => !view.range || (x >= view.range[0] && x <= view.range[1]);
  const drawable = (line) => line.filter(([x, y]) => (!view.logX || x > 0) && (!chart.logY || y > 0));

  function collect() {
    lines = [];
    for (const run of runs) {
      if (view.hidden.has(run.index)) continue;
      for (const key of keys) {
        const raw = drawable(points(run, key, view.axis));
        if (!raw.length) continue;
        const sparse = isSparse(runs, key);
        const shown = smooth && !sparse ? smoothed(raw, view.smoothing) : raw;
        lines.push({ run, key, raw, shown, sparse });
      }
    }
  }

  function domainX() {
    if (view.range) return view.range;
    const ends = lines.flatMap(({ raw }) => [raw[0][0], raw[raw.length - 1][0]]);
    if (!ends.length) return [view.logX ? 1 : 0, 10];
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    const start = view.logX ? low : Math.min(low, low < high * 0.2 ? 0 : low);
    return start < high ? [start, high] : [view.logX ? low / 2 : low - 1, high + 1];
  }

  chart.draw = () => {
    collect();
    // All places that were logged and can be seen, for the pointer and the arrow keys to snap to.
    stops = [...new Set(lines.flatMap(({ raw }) => raw.filter(inRange).map(([x]) => x)))]
      .sort((a, b) => a - b).map((x) => [x]);
    const [width, height] = [plot.clientWidth, plot.clientHeight];
    if (!width || !height) return;
    const shownY = lines.flatMap(({ raw, shown, sparse }) =>
      (view.smoothing && !sparse ? shown : raw).filter(inRange).map(([, y]) => y));
    const [x0, x1] = domainX();
    const [y0, y1] = yDomain([...shownY, ...(shownY.length ? floors : [])], chart.logY);
    scales = {
      x: makeScale(x0, x1, MARGIN.left, width - MARGIN.right, view.logX, view.axis === "seconds"),
      y: makeScale(y0, y1, height - MARGIN.bottom, MARGIN.top, chart.logY),
    };
    const [top, tallness] = [MARGIN.top, height - MARGIN.bottom - MARGIN.top];
    const air = { x: MARGIN.left - 6, y: top - 6, width: width - MARGIN.left - MARGIN.right + 12,
      height: tallness + 12 };
    const drawing = svg("svg", { class: "drawing", width, height, role: "img", "aria-label": title },
      svg("clipPath", { id: clipId }, svg("rect", air)), axes(width, height),
      svg("g", { "clip-path": `url(#${clipId})` }, floors.map(floorLine), lines.flatMap(linePaths)));
    // What follows the pointer lies on a layer of its own, so that the lines are not painted again.
    layer = svg("svg", { width, height, "aria-hidden": "true" },
      svg("rect", { class: "selection", y: top, height: tallness, width: 0 }),
      svg("line", { class: "crosshair", y1: top, y2: top + tallness, visibility: "hidden" }),
      svg("g", { class: "marks" }));
    plot.replaceChildren(drawing, layer, tip);
    chart.hover(null);
  };

  function axes(width, height) {
    const group = svg("g", { class: "axes" });
    for (const tick of scales.y.ticks(tall ? 6 : 4)) {
      const y = scales.y(tick);
      group.append(svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }),
        svg("text", { class: "tick-y", x: MARGIN.left - 8, y: y + 4, "text-anchor": "end",
          "data-value": tick }, tickText(tick)));
    }
    const room = Math.max(2, Math.floor((width - MARGIN.left) / 80));
    for (const tick of scales.x.ticks(room)) {
      const x = scales.x(tick);
      const anchor = x > width - MARGIN.right - 24 ? "end" : "middle";
      group.append(svg("text", { class: "tick-x", x: anchor === "end" ? width - MARGIN.right : x,
        y: height - 8, "text-anchor": anchor, "data-value": tick, "data-at": x }, formatTickX(view.axis, tick)));
    }
    return group;
  }

  const tickText = (tick) => (Math.abs(tick) >= 10000 ? formatCount(tick) : formatNumber(tick, 3));

  function floorLine(floor) {
    const y = scales.y(floor);
    return svg("g", { class: "floor" },
      svg("line", { x1: MARGIN.left, x2: plot.clientWidth - MARGIN.right, y1: y, y2: y }),
      svg("text", { x: MARGIN.left + 6, y: y - 6 }, `entropy of the text ${formatLoss(floor)}`));
  }

  function linePaths({ run, key, raw, shown, sparse }) {
    const toPath = (line) => thinned(line, scales.x).map(([x, y], i) =>
      `${i ? "L" : "M"}${scales.x(x).toFixed(2)} ${scales.y(y).toFixed(2)}`).join("");
    const names = { "data-run": run.name, "data-key": key };
    const style = `--run: var(--run-${run.index % 8})`;
    const kind = `${sparse ? "valid" : "train"}${run.index >= 8 ? " dashed" : ""}`;
    const made = [];
    if (shown !== raw) made.push(svg("path", { class: "raw", style, d: toPath(raw) }));
    made.push(svg("path", { class: `curve ${kind}`, style, d: toPath(shown), ...names }));
    if (raw.length === 1 || (sparse && raw.length <= 80)) {
      for (const [x, y] of raw) {
        made.push(svg("circle", { class: "dot", style, cx: scales.x(x), cy: scales.y(y), r: 3 }));
      }
    }
    return made;
  }

  // Show the values logged nearest to x in this chart; `own` is the chart under the pointer.
  chart.hover = (x, own = false) => {
    if (!layer) return;
    const [line, marks] = [layer.querySelector(".crosshair"), layer.querySelector(".marks")];
    marks.replaceChildren();
    const inside = x !== null && (!view.range || inRange([x]));
    line.setAttribute("visibility", inside ? "visible" : "hidden");
    tip.hidden = !(inside && own);
    if (!inside) return;
    const at = scales.x(x);
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    for (const entry of lines) {
      const point = valueAt(entry, x);
      if (!point) continue;
      marks.append(svg("circle", { style: `--run: var(--run-${entry.run.index % 8})`,
        cx: scales.x(point[0]), cy: scales.y(entry.sparse ? point[1] : onLine(entry, point)), r: 4 }));
    }
    if (own) showTip(x, at);
  };

  const onLine = (entry, point) => entry.shown[entry.raw.indexOf(point)][1];

  // An evaluation holds until the next one; anything else is read where it was logged.
  function valueAt({ raw, sparse }, x) {
    if (sparse) {
      const place = lastBefore(raw, x);
      const end = raw[raw.length - 1][0];
      return place < 0 || scales.x(x) > scales.x(end) + 12 ? null : raw[place];
    }
    const point = nearest(raw, x);
    return point && Math.abs(scales.x(point[0]) - scales.x(x)) <= 12 ? point : null;
  }

  function showTip(x, at) {
    const table = el("table", {});
    if (keys.length > 1) {
      table.append(el("tr", {}, el("th", {}), el("th", {}, "training"), el("th", {}, "validation")));
    }
    for (const run of runs) {
      const entries = keys.map((key) => lines.find((e) => e.run === run && e.key === key));
      if (!entries.some(Boolean)) continue;
      table.append(el("tr", { "data-run": run.name },
        el("th", { scope: "row" }, swatch(run), run.name),
        entries.map((entry, i) => {
          const point = entry && valueAt(entry, x);
          return el("td", { "data-key": keys[i], "data-value": point ? point[1] : "",
            "data-x": point ? point[0] : "" }, point ? formatTip(keys[i], point[1]) : "–");
        })));
    }
    const unit = view.axis === "step" ? "step " : "";
    const tail = view.axis === "tokens" ? " tokens" : "";
    tip.replaceChildren(el("b", {}, `${unit}${formatX(view.axis, x)}${tail}`), table);
    placeTip(at);
  }

  // Of the places beside the crosshair, above and below, take the one that covers the least line.
  function placeTip(at) {
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    const most = plot.clientWidth - width - 2;
    const spots = [at + 14, at - width - 14].flatMap((left) =>
      [8, plot.clientHeight - MARGIN.bottom - height - 8].map((top) =>
        [Math.max(2, Math.min(left, most)), Math.max(2, top)]));
    const places = lines.flatMap(({ shown }) => shown
      .filter((_, i) => i % Math.ceil(shown.length / 100) === 0)
      .map(([x, y]) => [scales.x(x), scales.y(y)]));
    const covered = ([left, top]) => places.filter(([x, y]) =>
      x > left - 4 && x < left + width + 4 && y > top - 4 && y < top + height + 4).length
      + (left < at && at < left + width ? places.length / 20 : 0);
    const best = spots.reduce((a, b) => (covered(b) < covered(a) ? b : a));
    [tip.style.left, tip.style.top] = best.map((pixels) => `${pixels}px`);
  }

  const formatTip = (key, value) => (key.endsWith("loss") ? formatLoss(value) : formatNumber(value));

  function snap(event) {
    const pixel = event.clientX - plot.getBoundingClientRect().left;
    const best = nearest(stops, scales.x.invert(pixel), (x) => scales.x(x));
    return best ? best[0] : null;
  }

  let [drag, current] = [null, null];
  const move = (x) => { current = x; onHover(x, chart); };
  plot.addEventListener("pointermove", (event) => {
    if (!scales) return;
    if (drag !== null) markDrag(event);
    else move(snap(event));
  });
  plot.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") move(snap(event));
    else if (event.button === 0) drag = event.clientX - plot.getBoundingClientRect().left;
  });
  plot.addEventListener("pointerleave", (event) => {
    endDrag(null);
    // A finger that is lifted leaves its values to be read.
    if (event.pointerType !== "touch") move(null);
  });
  plot.addEventListener("pointerup", endDrag);
  plot.addEventListener("dblclick", () => onRange(null));
  plot.addEventListener("blur", () => move(null));
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (event.key === "Escape") { onRange(null); move(null); }
    if (!by || !stops.length) return;
    event.preventDefault();
    const here = current === null ? (by > 0 ? -1 : stops.length) : lastBefore(stops, current);
    move(stops[Math.max(0, Math.min(stops.length - 1, here + by))][0]);
  });

  const dragEnds = (event) => [drag, event.clientX - plot.getBoundingClientRect().left]
    .map((p) => Math.max(MARGIN.left, Math.min(plot.clientWidth - MARGIN.right, p)))
    .sort((a, b) => a - b);

  function markDrag(event) {
    const [from, to] = dragEnds(event);
    fill(layer.querySelector(".selection"), { x: from, width: to - from }, []);
  }

  function endDrag(event) {
    if (drag === null) return;
    const ends = event ? dragEnds(event) : [0, 0];
    layer.querySelector(".selection").setAttribute("width", 0);
    drag = null;
    if (ends[1] - ends[0] > 8) onRange(ends.map(scales.x.invert));
  }

  return chart;
}

function swatch(run) {
  return el("i", { class: "swatch", style: `--run: var(--run-${run.index % 8})` });
}
