// How an item is shown and ranked: the buttons at the end of the line on top.

import { button, h } from "./dom.js";
import { keyedFor } from "./keymap.js";
import { isList, isVerdict } from "./work.js";

const WAYS = ["place", "insertion"];

/** Returns the elements and `refresh`, which shows what is on and what can be used. */
export function tools(t, act) {
  const toggle = (name, label, props = {}) =>
    button(keyedFor(label, name), () => act({ name }), { "aria-pressed": "false", ...props });
  const press = (one, on) => one.setAttribute("aria-pressed", String(on));
  const ways = WAYS.map((way) => button(t.modes[way], () => act({ name: "mode", value: way }), { "aria-pressed": "false" }));
  const formatted = toggle("formatted", t.markdown);
  const diff = toggle("diff", t.diff);
  const together = toggle("scrollTogether", t.scrollTogether, { class: "together" });
  const focusMode = toggle("focusMode", t.focusMode, { class: "focus-mode" });
  const elements = [h("span", { class: "segments", role: "group", "aria-label": t.mode }, ways), formatted, diff, together, focusMode];

  function refresh(work, view) {
    ways.forEach((one, at) => press(one, work?.task === "rank" && work.mode === WAYS[at]));
    press(formatted, view.formatted);
    press(diff, view.diff);
    press(together, view.scrollTogether);
    press(focusMode, view.focusMode);
    for (const one of ways) one.disabled = work?.task !== "rank";
    for (const one of [formatted, focusMode]) one.disabled = !work;
    diff.disabled = !work || isVerdict(work.task);
    together.disabled = !work || isList(work);
  }
  return { elements, refresh };
}
