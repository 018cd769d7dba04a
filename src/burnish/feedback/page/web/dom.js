// Elements are made one by one and text enters as text nodes only: nothing here, or elsewhere, parses HTML.

/** An element. `props`: class, on* listeners, booleans and attributes; children are elements, texts, or nothing. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const button = (label, onclick, props = {}) => h("button", { type: "button", onclick, ...props }, label);

/** A button with a drawn sign, whose name is read aloud and shown as its tooltip. */
export const signButton = (sign, name, onclick, props = {}) =>
  h("button", { type: "button", onclick, "aria-label": name, title: name, ...props }, h("span", { "aria-hidden": "true" }, sign));

/** A button's label with its key; one that has a name (Enter) is still there where keys are turned off. */
export const keyed = (label, key) => [
  h("span", {}, label),
  h("kbd", { "aria-hidden": "true", class: key.includes("⏎") ? "named" : null }, key),
];

const FORMATS = new Set(
  "p br em strong s code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 hr table thead tbody tr th td".split(" "),
);

/** Formatted text as the server sends it: a text, or [tag, child, …]. Tags that are not known become plain spans. */
export function formatted(node) {
  if (typeof node === "string") return document.createTextNode(node);
  const [tag, ...children] = node;
  // headings of an answer are no headings of the page: they would bury its outline for a screen reader
  const name = /^h[1-6]$/.test(tag) ? "p" : FORMATS.has(tag) ? tag : "span";
  return h(name, { class: name !== tag ? `was-${tag}` : null }, children.map(formatted));
}

export const letterOf = (answer) => String.fromCharCode(65 + answer);
export const letters = (answers) => answers.map(letterOf).join(", ");
