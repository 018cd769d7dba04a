// The bar below the answers: the order so far, how sure one is, and what can be done with the item.

import { button, h, keyed, letterOf } from "./dom.js";
import { picked } from "./card.js";
import { keyedFor } from "./keymap.js";
import { acceptable, places, unplaced } from "./order.js";
import { placed } from "./placed.js";

export function bar(work, t, act) {
  const picking = work.task === "pick";
  const order = h("ol", { class: "places", "aria-label": t.order });
  const hint = h("p", { class: "small hint" }, picking ? t.nothingPicked : t.orderEmpty);
  const sure = t.sure.map((name, at) =>
    button(keyedFor(name, `sure${at + 1}`), () => act({ name: `sure${at + 1}` }), { "aria-pressed": "false" }),
  );
  const none = picking
    ? button(keyedFor(t.noneGood, "line"), () => act({ name: "noPick" }), { "aria-pressed": "false" })
    : button(t.noneAcceptable, () => act({ name: "none" }), { "aria-pressed": "false" });
  const submit = button(keyed(t.submit, "⏎"), () => act({ name: "submit" }), { class: "primary" });
  const said = h("p", { class: "said-last small", role: "status" });
  const judging = h(
    "div",
    { class: "judging" },
    none,
    h(
      "div",
      { class: "sure", role: "group", "aria-label": t.confidence },
      h("span", { class: "small", "aria-hidden": "true" }, t.confidence),
      h("span", { class: "segments" }, sure),
    ),
  );
  const element = h(
    "footer",
    { class: "bar" },
    h("div", { class: "ranked" }, order, hint, said),
    judging,
    h(
      "div",
      { class: "doing" },
      button(keyedFor(t.skip, "skip"), () => act({ name: "skip" }), { class: "quiet" }),
      button(keyedFor(t.undo, "undo"), () => act({ name: "undo" }), { class: "quiet" }),
      submit,
    ),
  );

  function refresh(work, { asking, sending }) {
    const all = places(work.order.ranks);
    const groups = !picking ? all : picked(work) === null ? [] : all.slice(0, 1);
    const above = acceptable(work.order);
    const named = groups.map((group) => group.map(letterOf));
    order.replaceChildren(...placed(named, picking ? null : above, t));
    const open = unplaced(work.order.ranks);
    if (groups.length > 0 && open.length > 0) {
      order.append(h("li", { class: "open" }, open.map((answer) => h("i", {}, letterOf(answer)))));
    }
    order.hidden = groups.length === 0 || asking;
    hint.hidden = all.length > 0 || asking;
    judging.hidden = asking;
    submit.hidden = asking;
    sure.forEach((one, at) => one.setAttribute("aria-pressed", String(work.confidence === at + 1)));
    none.setAttribute("aria-pressed", String(above === 0));
    submit.classList.toggle("ready", open.length === 0);
    submit.disabled = sending;
  }
  const say = (text) => (said.textContent = text);
  return { element, refresh, say };
}
