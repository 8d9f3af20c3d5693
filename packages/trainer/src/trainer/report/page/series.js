// From the logged columns of a run to the points of a line.

// What is drawn of which metric: its title, its unit, and whether smoothing makes sense.
const METRICS = {
  learning_rate: { title: "Learning rate", smooth: false },
  grad_norm: { title: "Gradient norm", note: "before clipping", smooth: true },
  tokens_per_second: { title: "Speed", note: "tokens per second", smooth: true },
  perplexity: { title: "Perplexity", smooth: false },
  bits_per_byte: { title: "Bits per byte", smooth: false },
  mfu: { title: "Model FLOPs utilization", note: "share of the device's peak", smooth: true },
};
const AXES = { step: "Steps", seconds: "Time", tokens: "Tokens" };

function formatX(axis, value) {
  return axis === "seconds" ? formatSeconds(value) : axis === "tokens" ? formatCount(value)
    : formatNumber(value, 6);
}

function formatTickX(axis, value) {
  return axis === "seconds" && value !== 0 ? formatTickTime(value) : axis === "step"
    ? formatNumber(value, 6) : formatCount(value);
}

// Whether a metric exists only where a run was evaluated: few values, each of them to be seen.
function isSparse(runs, key) {
  if (key === "val_loss") return true;
  if (key === "train_loss" || METRICS[key]?.smooth) return false;
  return runs.every(({ columns }) => (columns[key] || []).every((value, row) =>
    value === null || (columns.val_loss?.[row] ?? null) !== null));
}

// The points [x, y, row] of one column; where nothing was logged, or no number, there is no point.
function points(run, key, axis) {
  const [xs, ys] = [run.columns[axis] || [], run.columns[key] || []];
  const found = [];
  for (let row = 0; row < ys.length; row += 1) {
    if (ys[row] !== null && xs[row] !== null && xs[row] !== undefined) {
      found.push([xs[row], ys[row], row]);
    }
  }
  return found;
}

// An exponential average, divided by the weight it has seen, so that it does not start at zero.
function smoothed(line, weight) {
  if (!weight) return line;
  let [sum, seen] = [0, 0];
  return line.map(([x, y, row]) => {
    sum = sum * weight + y * (1 - weight);
    seen = seen * weight + (1 - weight);
    return [x, sum / seen, row];
  });
}

// At most a few points for each pixel across: the first, lowest, highest and last of them.
function thinned(line, toX) {
  if (line.length < 2000) return line;
  const kept = [];
  for (let i = 0; i < line.length;) {
    const pixel = Math.floor(toX(line[i][0]));
    let [low, high, end] = [i, i, i];
    for (; end < line.length && Math.floor(toX(line[end][0])) === pixel; end += 1) {
      if (line[end][1] < line[low][1]) low = end;
      if (line[end][1] > line[high][1]) high = end;
    }
    for (const index of [...new Set([i, low, high, end - 1])].sort((a, b) => a - b)) {
      kept.push(line[index]);
    }
    i = end;
  }
  return kept;
}

// The place of the last point at or before x in a line sorted by x; -1 where there is none.
function lastBefore(line, x) {
  let [low, high] = [0, line.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (line[middle][0] <= x) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// The point whose x is nearest, by distances on the screen where `toPixel` says what they are.
function nearest(line, x, toPixel = (value) => value) {
  const before = lastBefore(line, x);
  if (before < 0) return line[0] || null;
  const after = line[before + 1];
  const at = toPixel(x);
  return after && toPixel(after[0]) - at < at - toPixel(line[before][0]) ? after : line[before];
}
