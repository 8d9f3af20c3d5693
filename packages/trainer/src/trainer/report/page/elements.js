// The document's elements, made from plain data. Text of a run is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// One of several choices, as a row of buttons of which one is pressed.
function choice(label, options, chosen, pick) {
  const group = el("div", { class: "choice", role: "group", "aria-label": label });
  const buttons = options.map(([value, text]) =>
    el("button", { type: "button", "data-value": value, "aria-pressed": String(value === chosen),
      onclick: () => {
        for (const b of buttons) b.setAttribute("aria-pressed", String(b.dataset.value === value));
        pick(value);
      } }, text));
  return fill(group, {}, buttons);
}

function toggle(text, on, change, title) {
  const button = el("button", { type: "button", class: "toggle", "aria-pressed": String(on), title,
    onclick: () => {
      const next = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(next));
      change(next);
    } }, text);
  return button;
}
