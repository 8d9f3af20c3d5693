// From values to pixels: a linear or a logarithmic axis, its ends and its ticks.

function makeScale(low, high, from, to, log, time = false) {
  const at = log ? Math.log : (v) => v;
  const back = log ? Math.exp : (v) => v;
  const [a, b] = [at(low), at(high)];
  const span = b - a || 1;
  const scale = (value) => from + ((at(value) - a) / span) * (to - from);
  scale.invert = (pixel) => back(a + ((pixel - from) / (to - from)) * span);
  scale.ticks = (count) => (time ? timeTicks : log ? logTicks : linearTicks)(low, high, count, log);
  return scale;
}

// The ends of the y axis, with some air above and below the lines.
function yDomain(values, log) {
  const usable = values.filter((v) => Number.isFinite(v) && (!log || v > 0));
  if (!usable.length) return log ? [0.1, 10] : [0, 1];
  let [low, high] = usable.reduce(([l, h], v) => [Math.min(l, v), Math.max(h, v)], [Infinity, -Infinity]);
  if (log) {
    const air = Math.max((high / low) ** 0.06, 1.01);
    return [low / air, high * air];
  }
  const air = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  if (low >= 0 && low < high / 3) return [0, high + air];
  return [low - air, high + air];
}
