// A table of figures: the first column says what, the others are numbers. Wider than the page, it scrolls by itself.

import { h } from "./dom.js";

/** `rows`: lists of cells, texts or elements; nothing where there are none. */
export function table(title, heads, rows) {
  if (rows.length === 0) return null;
  const head = heads.map((name) => (name === "" ? h("td", {}) : h("th", { scope: "col" }, name)));
  const body = rows.map(([name, ...cells]) =>
    h("tr", {}, h("th", { scope: "row", dir: "auto" }, name), cells.map((cell) => h("td", {}, cell))),
  );
  return h(
    "section",
    { class: "figures" },
    h("h3", {}, title),
    h(
      "div",
      { class: "wide", role: "region", "aria-label": title, tabindex: 0 },
      h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)),
    ),
  );
}

const NONE = "–";

export const number = (value, digits = 3) => (value === null || value === undefined ? NONE : value.toFixed(digits));

export const signed = (value, digits = 2) => (value > 0 ? "+" : "") + number(value, digits);

export const interval = ({ low, high }, say = number) => `[${say(low)}, ${say(high)}]`;

export const percent = (value) => (value === null ? NONE : `${(100 * value).toFixed(1)} %`);
