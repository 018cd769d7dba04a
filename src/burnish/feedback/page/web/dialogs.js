// Dialogs: keys and settings, flags, why an item is skipped, guidelines. The browser's own <dialog> keeps the focus in.

import { button, formatted, h, letterOf } from "./dom.js";
import { keepSetting, setting } from "./kept.js";
import { ACTIONS, keyOf, setKey, signOf, SIGNS, usualKeys } from "./keymap.js";
import { LANGUAGES } from "./texts.js";

function show(title, t, content, buttons, closed) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, heading, content, h("div", { class: "doing" }, buttons));
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // outside of its content
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

const closing = (label) => button(label, (event) => event.target.closest("dialog").close(), { class: "primary" });

/** `changed(flags)` at every change; digits toggle, Enter closes. */
export function askFlags(answer, flags, t, changed, closed) {
  const names = Object.keys(t.flags);
  const boxes = names.map((name) => {
    const box = h("input", { type: "checkbox", name, checked: flags.includes(name) });
    box.addEventListener("change", () => changed(names.filter((_, at) => boxes[at].checked)));
    return box;
  });
  const rows = names.map((name, at) =>
    h("label", { class: "choice" }, boxes[at], h("span", {}, t.flags[name]), h("kbd", { "aria-hidden": "true" }, at + 1)),
  );
  const dialog = show(t.flagTitle(letterOf(answer)), t, h("div", { class: "choices-list" }, rows), [closing(t.close)], closed);
  dialog.addEventListener("keydown", (event) => {
    if (setting("letterKeys") === "on") boxes[Number(event.key) - 1]?.click();
    if (event.key === "Enter") {
      event.preventDefault();
      dialog.close();
    }
  });
}

/** `chosen(reason)` when one was taken. */
export function askSkip(t, chosen, closed) {
  const names = Object.keys(t.skips);
  const take = (dialog, name) => {
    dialog.close();
    chosen(name);
  };
  const rows = names.map((name, at) =>
    button([h("span", {}, t.skips[name]), h("kbd", { "aria-hidden": "true" }, at + 1)], (event) => take(event.target.closest("dialog"), name), {
      class: "choice",
    }),
  );
  const cancel = button(t.cancel, (event) => event.target.closest("dialog").close(), { class: "quiet" });
  const dialog = show(t.skipTitle, t, h("div", { class: "choices-list" }, rows), [cancel], closed);
  dialog.addEventListener("keydown", (event) => {
    const name = names[Number(event.key) - 1];
    if (name === undefined || setting("letterKeys") !== "on") return;
    event.stopPropagation(); // the dialog is closed before the page hears of it, and there a digit is a rank
    take(dialog, name);
  });
}

export function showGuidelines(tree, t, closed) {
  show(t.guidelines, t, h("div", { class: "text guidelines", tabindex: 0, dir: "auto" }, tree.map(formatted)), [closing(t.close)], closed);
}

/** `changed(name)` when a setting has another value. */
export function showHelp(t, changed, closed) {
  const keep = (name, value) => {
    keepSetting(name, value);
    changed(name);
  };
  const choice = (name, label, options) =>
    h(
      "label",
      { class: "setting" },
      h("span", {}, label),
      h(
        "select",
        { onchange: (event) => keep(name, event.target.value) },
        Object.entries(options).map(([value, shown]) =>
          h("option", { value, selected: setting(name) === value, lang: LANGUAGES[value] ? value : null }, shown),
        ),
      ),
    );
  const letterKeys = h("input", { type: "checkbox", checked: setting("letterKeys") === "on" });
  letterKeys.addEventListener("change", () => keep("letterKeys", letterKeys.checked ? "on" : "off"));
  const content = h(
    "div",
    { class: "help" },
    h(
      "section",
      { "aria-label": t.settings, class: "settings" },
      choice("language", t.language, { auto: t.themes.auto, ...LANGUAGES }),
      choice("theme", t.colours, t.themes),
      h("label", { class: "setting wide" }, letterKeys, h("span", {}, t.letterKeys)),
    ),
    h(
      "section",
      { "aria-label": t.helpKeys },
      [[t.helpKeys, t.keys], [t.pairTitle, t.pairKeys], [t.pickTitle, t.pickKeys], [t.verdictTitle, t.verdictKeys]].flatMap(
        ([title, keys]) => [h("h3", {}, title), keyTable(keys)],
      ),
    ),
    ownKeys(t, () => changed("keys")),
  );
  show(t.help, t, content, [closing(t.close)], closed);
}

/** A key of each action's own, from those that may be had; one that is taken is swapped. */
function ownKeys(t, changed) {
  const said = h("p", { class: "small", role: "status" });
  const choices = ACTIONS.map((name) => {
    const set = (event) => {
      const key = event.target.value;
      const other = setKey(name, key);
      const does = t.actions;
      tell(other ? t.keySwapped(key, does[name], keyOf(other), does[other]) : t.keySet(key, does[name]));
    };
    const now = keyOf(name);
    return h("select", { onchange: set }, SIGNS.map((key) => h("option", { value: key, selected: key === now }, key)));
  });
  function tell(words) {
    ACTIONS.forEach((name, at) => (choices[at].value = keyOf(name)));
    said.textContent = words;
    changed();
  }
  const reset = button(t.usualKeys, () => (usualKeys(), tell(t.usualAgain)), { class: "quiet" });
  const rows = ACTIONS.map((name, at) => h("label", { class: "setting" }, h("span", {}, t.actions[name]), choices[at]));
  return h(
    "details",
    { class: "own-keys" },
    h("summary", {}, t.ownKeys),
    h("div", { class: "key-choices" }, rows),
    h("div", { class: "doing" }, said, reset),
  );
}

const keySign = (key) => (key.startsWith("{") ? signOf(key.slice(1, -1)) : h("kbd", {}, key));

const keyTable = (rows) =>
  h(
    "dl",
    { class: "keys" },
    rows.map(([keys, does]) => h("div", {}, h("dt", {}, keys.split(" ").map(keySign)), h("dd", {}, does))),
  );
