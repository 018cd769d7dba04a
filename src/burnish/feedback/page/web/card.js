// One answer: its letter, its ranks to choose from, and its text.

import { button, formatted, h, letterOf, signButton } from "./dom.js";
import { diff } from "./diff.js";

/** `act` is called with {name, value?, answer}. Returns the element, the part that takes the focus, and `refresh`. */
export function card(work, answer, t, act) {
  const letter = letterOf(answer);
  const ranks = Array.from({ length: work.count }, (_, at) =>
    button(
      [
        h("span", { class: "unseen" }, `${t.rank} `),
        String(at + 1),
        h("span", { class: "tied", hidden: true }, h("span", { "aria-hidden": "true" }, "="), h("span", { class: "unseen" }, t.tied)),
      ],
      () => act({ name: "rank", value: at + 1, answer, stay: true }),
    ),
  );
  const picking = work.task === "pick";
  const pick = button(t.pick, () => act({ name: "pick", value: answer }));
  const flag = signButton("⚑", t.flagOf(letter), () => act({ name: "flag", answer }), { class: "flag" });
  const text = h("div", { class: "text", dir: "auto", tabindex: 0, role: "group", "data-answer": answer });
  const note = h("p", { class: "note", hidden: true });
  const element = h(
    "li",
    { class: "card" },
    h(
      "div",
      { class: "controls" },
      h("span", { class: "letter", "aria-hidden": "true" }, letter),
      picking ? pick : h("div", { class: "ranks", role: "group", "aria-label": t.rankOf(letter) }, ranks),
      h(
        "span",
        { class: "signs" },
        picking ? null : signButton("↑", t.up(letter), () => act({ name: "up", answer })),
        picking ? null : signButton("↓", t.down(letter), () => act({ name: "down", answer })),
        flag,
      ),
    ),
    note,
    text,
  );
  const shownText = textOf(text, note, t);

  function refresh(now, view) {
    const rank = now.order.ranks[answer];
    const tied = rank !== null && now.order.ranks.filter((other) => other === rank).length > 1;
    ranks.forEach((one, at) => {
      const here = rank === at + 1;
      one.setAttribute("aria-pressed", String(here));
      one.querySelector(".tied").hidden = !(here && tied);
    });
    pick.setAttribute("aria-pressed", String(picked(now) === answer));
    text.setAttribute("aria-label", nameOf(now, answer, t));
    element.classList.toggle("current", now.focus === answer);
    element.classList.toggle("refused", rank !== null && now.order.line !== null && rank > now.order.line);
    flag.setAttribute("aria-pressed", String(now.flags[answer].length > 0));
    shownText(now.answers[answer], now, view, answer);
  }
  return { element, text, refresh };
}

/** The answer that is picked, of an item of which one is; null where none is. */
export const picked = (work) => (work.order.ranks.includes(2) ? work.order.ranks.indexOf(1) : null);

/** What an answer is called for a screen reader: its letter and where it stands. */
export function nameOf(work, answer, t) {
  const rank = work.order.ranks[answer];
  const letter = letterOf(answer);
  if (work.task === "pick") return picked(work) === answer ? t.pickedIt(letter) : t.answer(letter);
  if (rank === null) return t.answerOpen(letter);
  return t.answerAt(letter, rank, work.count, work.order.ranks.filter((other) => other === rank).length > 1);
}

/** Fills an answer's text, and again only where what is to be shown is something else than what is there. */
export function textOf(element, note, t) {
  let shown = null;
  return (text, work, view, answer) => {
    const best = view.diff ? view.best : null;
    const against = best === null || best === answer ? null : best;
    const tree = view.formatted ? (view.trees?.[answer] ?? null) : null;
    const wanted = `${work.id} ${against} ${tree !== null} ${view.formatted && view.trees !== null}`;
    if (wanted === shown) return;
    shown = wanted;
    const pieces = against === null ? null : diff(work.answers[against], text);
    element.classList.toggle("plain", pieces !== null || tree === null);
    note.hidden = against === null && !(view.formatted && view.trees !== null && tree === null);
    if (against !== null) note.textContent = pieces === null ? t.diffFar : t.diffOn(letterOf(against));
    else note.textContent = t.markdownOff;
    if (pieces !== null) element.replaceChildren(...pieces.map(piece));
    else if (tree !== null) element.replaceChildren(...tree.map(formatted));
    else element.textContent = text;
  };
}

const MARKS = { same: "span", added: "ins", removed: "del" };
const piece = ({ kind, text }) => h(MARKS[kind], {}, text);
