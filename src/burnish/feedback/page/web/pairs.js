// A question between two answers: one of many by which an order is made, or all that is asked of the item.

import { button, h, keyed, letterOf } from "./dom.js";
import { textOf } from "./card.js";
import { keyedFor } from "./keymap.js";
import { isVerdict } from "./work.js";

/** Returns the element, its heading (which takes the focus) and `refresh`, which shows the text as the view says. */
export function pairQuestion(work, step, t, act) {
  const [x, y] = step.pair.map(letterOf);
  const alone = isVerdict(work.task);
  const asked = work.task === "person" ? t.person : t.better;
  const sides = step.pair.map((answer, side) => {
    const text = h("div", {
      class: "text", dir: "auto", tabindex: 0, role: "group", "aria-label": t.answer(letterOf(answer)),
    });
    const note = h("p", { class: "note", hidden: true });
    const choose = button(keyed(asked.choose(letterOf(answer)), String(side + 1)), () =>
      act({ name: side === 0 ? "left" : "right" }),
    );
    const head = h("div", { class: "controls" }, h("span", { class: "letter", "aria-hidden": "true" }, letterOf(answer)), choose);
    return { answer, choose, element: h("li", { class: "card" }, head, note, text), fill: textOf(text, note, t) };
  });
  const same = button(keyedFor(asked.neither, "tie"), () => act({ name: "same" }));
  const heading = h("h2", { tabindex: -1 }, asked.question(x, y));
  const element = h(
    "section",
    { class: "answers pair", "aria-label": asked.question(x, y) },
    h("div", { class: "asked" }, heading, alone ? null : h("p", { class: "small" }, t.questionCount(work.asked.length + 1, step.most))),
    h("ol", { class: "cards", "data-count": 2 }, sides.map((side) => side.element)),
    h(
      "div",
      { class: "choices" },
      same,
      alone ? null : button(keyedFor(t.takeBack, "undo"), () => act({ name: "takeBack" }), { class: "quiet", disabled: work.asked.length === 0 }),
    ),
  );
  const plain = (view) => ({ ...view, diff: false });
  function refresh(now, view) {
    sides.forEach(({ answer, fill }) => fill(now.answers[answer], now, plain(view), answer));
    if (!alone || now.order.ranks.includes(null)) return; // else it was decided before, and taken back
    sides.forEach(({ answer, choose }) => choose.setAttribute("aria-pressed", String(now.order.ranks[answer] < now.order.ranks[1 - answer])));
    same.setAttribute("aria-pressed", String(now.order.ranks[0] === now.order.ranks[1]));
  }
  return { element, heading, refresh };
}
