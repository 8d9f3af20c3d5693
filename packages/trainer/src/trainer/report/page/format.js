// Numbers as people read them, and the places of an axis's ticks.

function formatNumber(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text;
  if (size >= 10000) text = Math.round(value).toLocaleString("en-US");
  else if (size < 1e-3) text = value.toExponential(digits - 2).replace(/\.?0+e/, "e");
  else text = String(Number(value.toPrecision(size >= 1000 ? Math.max(digits, 4) : digits)));
  return text.replace("-", "−");
}

function formatLoss(value) {
  return Number.isFinite(value) ? value.toFixed(3) : formatNumber(value);
}

function formatCount(value) {
  if (!Number.isFinite(value)) return "–";
  for (const [unit, size] of [["B", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (Math.abs(value) >= size) return String(Number((value / size).toPrecision(3))) + unit;
  }
  return String(Number(value.toPrecision(3)));
}

function formatSeconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 60) return `${Number(value.toPrecision(3))} s`;
  const total = Math.round(value);
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${seconds} s`;
}

// Round values between low and high, `count` of them or so: 1, 2 or 5 times a power of ten apart.
function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) {
    ticks.push(Number((n * step).toPrecision(12)));
  }
  return ticks;
}

function logTicks(low, high, count) {
  const within = (multiples) => {
    const ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += 1) {
      for (const m of multiples) {
        const tick = Number((m * 10 ** e).toPrecision(12));
        if (tick >= low * 0.9999 && tick <= high * 1.0001) ticks.push(tick);
      }
    }
    return ticks;
  };
  const choices = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]].map(within);
  const fitting = choices.filter((ticks) => ticks.length <= count + 2 && ticks.length >= 3);
  return fitting.length ? fitting[fitting.length - 1] : linearTicks(low, high, count);
}

// Durations that clocks show, for ticks of time: in seconds, minutes, hours, days.
const DURATIONS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000, 86400];

function timeTicks(low, high, count, log) {
  if (high < 10 || high > 20 * DURATIONS[DURATIONS.length - 1]) {
    return (log ? logTicks : linearTicks)(low, high, count);
  }
  if (log) {
    const within = DURATIONS.filter((tick) => tick >= low && tick <= high);
    const stride = Math.ceil(within.length / count);
    return within.filter((_, i) => (within.length - 1 - i) % stride === 0);
  }
  const step = DURATIONS.find((n) => (high - low) / n <= count + 1) || 2 * DURATIONS[DURATIONS.length - 1];
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(tick);
  return ticks;
}

function formatTickTime(value) {
  const [unit, size] = value < 120 ? ["s", 1] : value < 7200 ? ["min", 60] : ["h", 3600];
  return `${Number((value / size).toPrecision(3))} ${unit}`;
}
