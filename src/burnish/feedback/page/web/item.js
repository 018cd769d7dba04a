// An item on the page: its prompt, its answers (beside each other, as a list with a reader, or one at a time), the bar.

import { bar } from "./bar.js";
import { card, nameOf, picked } from "./card.js";
import { h, letterOf } from "./dom.js";
import { opinions } from "./opinions.js";
import { pairQuestion } from "./pairs.js";
import { prompt } from "./prompt.js";
import { question } from "./work.js";

export function itemView(work, t, act) {
  const top = prompt(work.prompt, t);
  const below = bar(work, t, act);
  const cards = work.answers.map((_, answer) => card(work, answer, t, act));
  const tabs = work.answers.map((text, answer) =>
    h(
      "button",
      { type: "button", onclick: () => act({ name: "focus", value: answer }) },
      h("b", { "aria-hidden": "true" }, letterOf(answer)),
      h("span", { class: "unseen" }),
      h("span", { class: "excerpt", dir: "auto", "aria-hidden": "true" }, text.slice(0, 160)),
      h("span", { class: "badge", "aria-hidden": "true" }),
    ),
  );
  const placing = h(
    "section",
    { class: work.count > 4 ? "answers many" : "answers", "aria-label": t.answers, "data-count": work.count },
    h("ol", { class: "tabs", "aria-label": t.answers }, tabs.map((tab) => h("li", {}, tab))),
    h("ol", { class: "cards", "aria-label": t.answers, "data-count": work.count }, cards.map((one) => one.element)),
  );
  let asking = null;
  let asked = null;
  const middle = h("div", { class: "middle" });
  const practice = work.practice ? h("p", { class: "practice" }, t.practice.about(work.practice.of)) : null;
  const said = work.opinions ? opinions(work.opinions, t) : null;
  const element = h("div", { class: "item" }, practice, top.element, said, middle, below.element);

  function refresh(now, view, sending) {
    const step = question(now);
    const wanted = step === null ? null : `${step.pair} ${now.asked.length}`;
    if (step === null && !placing.isConnected) middle.replaceChildren(placing);
    if (step !== null && wanted !== asked) {
      asking = pairQuestion(now, step, t, act);
      middle.replaceChildren(asking.element);
    }
    if (step === null) asking = null;
    asked = wanted;
    asking?.refresh(now, view);
    cards.forEach((one) => one.refresh(now, view));
    tabs.forEach((tab, answer) => {
      tab.setAttribute("aria-current", String(now.focus === answer));
      tab.querySelector(".unseen").textContent = nameOf(now, answer, t);
      tab.querySelector(".badge").textContent =
        now.task === "pick" ? (picked(now) === answer ? "✓" : "") : (now.order.ranks[answer] ?? "");
    });
    below.refresh(now, { asking: step !== null, sending });
  }

  /** Moves the keyboard to what is being worked on, so that the next key belongs to it. */
  function focus(now) {
    if (asking !== null) asking.heading.focus({ preventScroll: true });
    else cards[now.focus].text.focus({ preventScroll: false });
  }
  /** The answers' texts as they stand beside each other. */
  const texts = () => [...middle.querySelectorAll(".cards .text")];
  return { element, refresh, focus, texts, say: below.say, format: top.format, unfold: top.unfold };
}
