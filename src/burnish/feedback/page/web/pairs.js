// A question between two answers, for ranking by comparing pairs.

import { button, h, keyed, letterOf } from "./dom.js";
import { textOf } from "./card.js";

/** Returns the element, its heading (which takes the focus) and `refresh`, which shows the text as the view says. */
export function pairQuestion(work, step, t, act) {
  const [x, y] = step.pair.map(letterOf);
  const sides = step.pair.map((answer, side) => {
    const text = h("div", {
      class: "text", dir: "auto", tabindex: 0, role: "group", "aria-label": t.answer(letterOf(answer)),
    });
    const note = h("p", { class: "note", hidden: true });
    const choose = button(keyed(t.isBetter(letterOf(answer)), String(side + 1)), () =>
      act({ name: side === 0 ? "left" : "right" }),
    );
    const head = h("div", { class: "controls" }, h("span", { class: "letter", "aria-hidden": "true" }, letterOf(answer)), choose);
    return { answer, element: h("li", { class: "card" }, head, note, text), fill: textOf(text, note, t) };
  });
  const heading = h("h2", { tabindex: -1 }, t.question(x, y));
  const element = h(
    "section",
    { class: "answers pair", "aria-label": t.question(x, y) },
    h("div", { class: "asked" }, heading, h("p", { class: "small" }, t.questionCount(work.asked.length + 1, step.most))),
    h("ol", { class: "cards", "data-count": 2 }, sides.map((side) => side.element)),
    h(
      "div",
      { class: "choices" },
      button(keyed(t.same, "="), () => act({ name: "same" })),
      button(keyed(t.takeBack, "u"), () => act({ name: "takeBack" }), { class: "quiet", disabled: work.asked.length === 0 }),
    ),
  );
  const plain = (view) => ({ ...view, diff: false });
  const refresh = (now, view) => sides.forEach(({ answer, fill }) => fill(now.answers[answer], now, plain(view), answer));
  return { element, heading, refresh };
}
