// What stands around the curves: the cards of the runs, tables with their differences, samples.

function card(run, view, onToggle) {
  const loss = run.val_loss;
  const unit = run.rank?.unit ? ` ${run.rank.unit}` : "";
  const badge = !run.rank ? null : run.rank.behind === 0 ? el("em", {}, `lowest${unit}`)
    : el("span", {}, `+${formatLoss(run.rank.behind)}${unit}`);
  const facts = [
    run.bits_per_byte === null ? null : `${formatLoss(run.bits_per_byte)} bits per byte`,
    `${formatNumber(run.last.step ?? null, 7)} steps`,
    run.last.tokens ? `${formatCount(run.last.tokens)} tokens` : null,
    run.last.seconds ? formatSeconds(run.last.seconds) : null,
    run.exit === "finished" ? null : run.exit,
  ].filter(Boolean).map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · ");
  const button = el("button", { type: "button", class: "card", "data-run": run.name,
    style: `--run: var(--run-${run.index % 8})`, title: "show or hide its curves",
    "aria-pressed": String(!view.hidden.has(run.index)),
    onclick: () => {
      const show = view.hidden.has(run.index);
      button.setAttribute("aria-pressed", String(show));
      onToggle(run, show);
    } },
  el("span", { class: "name" }, swatch(run), run.name, badge),
  el("span", { class: "loss" }, formatLoss(loss ?? NaN), el("small", {}, " validation loss")),
  el("span", { class: "facts" }, facts),
  run.objective ? el("span", { class: "objective" }, run.objective) : null,
  run.conclusion ? el("span", { class: "conclusion" }, run.conclusion) : null);
  return button;
}

function showValue(value) {
  if (value === undefined) return "";
  if (value === null) return "none";
  if (Array.isArray(value)) return value.length ? value.join(", ") : "none";
  return typeof value === "number" ? formatNumber(value, 12) : String(value);
}

// One row a key, one column a run; where runs differ, what is unlike the first is marked.
function comparison(runs, name, { onlyDifferences, code = [], never = [] } = {}) {
  const keys = [...new Set(runs.flatMap((run) => Object.keys(run[name])))];
  const differs = (key) => !never.includes(key)
    && new Set(runs.map((run) => JSON.stringify(run[name][key]))).size > 1;
  const table = el("table", { class: "comparison", style: `--columns: ${runs.length}` },
    el("thead", {}, el("tr", {}, el("th", {}), runs.map((run) => el("th", { scope: "col" }, swatch(run), run.name)))));
  const body = el("tbody", {});
  for (const key of keys) {
    if (onlyDifferences && !differs(key)) continue;
    const first = JSON.stringify(runs[0][name][key]);
    body.append(el("tr", { class: differs(key) ? "differs" : null, "data-key": key },
      el("th", { scope: "row" }, key.split(".").flatMap((part, i) => (i ? [".", el("wbr"), part] : [part]))),
      runs.map((run) => {
        const text = showValue(run[name][key]);
        const other = differs(key) && JSON.stringify(run[name][key]) !== first;
        return el("td", { class: other ? "other" : null },
          code.includes(key) ? codeWords(text) : text);
      })));
  }
  if (!body.children.length) return el("p", { class: "quiet" }, "There is no difference.");
  return el("div", { class: "scroll" }, fill(table, {}, [body]));
}

// A command, broken between its words and not at the hyphens of its flags.
function codeWords(text) {
  return el("code", {}, text.split(" ").flatMap((word, i) => [i ? " " : "", el("span", {}, word)]));
}

function settingsSection(runs) {
  const holder = el("div", {});
  const show = (onlyDifferences) =>
    holder.replaceChildren(comparison(runs, "settings", { onlyDifferences }));
  show(runs.length > 1);
  return el("section", { id: "settings" },
    el("header", {}, el("h2", {}, "Settings"),
      runs.length > 1 ? choice("which settings", [["differences", "Differences"], ["all", "All"]],
        "differences", (which) => show(which === "differences")) : null),
    holder);
}

function samplesSection(runs) {
  const writers = runs.filter((run) => run.samples.length);
  const steps = [...new Set(writers.flatMap((run) => run.samples.map(([step]) => step)))]
    .sort((a, b) => a - b);
  if (!steps.length) return null;
  const label = el("output", {});
  const columns = el("div", { class: "samples" });
  const show = (index) => {
    label.textContent = `step ${formatNumber(steps[index], 9)}`;
    columns.replaceChildren(...writers.map((run) => {
      const until = run.samples.filter(([step]) => step <= steps[index]);
      const [step, texts] = until[until.length - 1] || [null, []];
      const late = step !== null && step !== steps[index] ? ` at step ${formatNumber(step, 9)}` : "";
      return el("article", { "data-run": run.name }, el("h3", {}, swatch(run), run.name, el("small", {}, late)),
        texts.length ? texts.map((text) => el("p", {}, text)) : el("p", { class: "quiet" }, "nothing yet"));
    }));
  };
  const slider = el("input", { type: "range", min: 0, max: steps.length - 1, value: steps.length - 1,
    "aria-label": "step of the samples", oninput: () => show(Number(slider.value)) });
  show(steps.length - 1);
  return el("section", { id: "samples" },
    el("header", {}, el("h2", {}, "What they wrote"),
      steps.length > 1 ? el("label", { class: "slider" }, slider, label) : null),
    columns);
}

// What no two runs share, so that a difference says nothing.
const OWN = ["command", "started", "ended", "directory"];

function originSection(runs) {
  const unlike = new Set(runs.map((run) => JSON.stringify(run.versions))).size > 1;
  return el("section", { id: "origin" }, el("header", {}, el("h2", {}, "Where they come from")),
    comparison(runs, "origin", { code: ["command", "commit"], never: OWN }),
    el("details", { open: unlike }, el("summary", {}, "Versions"), comparison(runs, "versions")));
}
