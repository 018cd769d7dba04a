// What is told of an item once it is saved: the order known to be right beside the annotator's own, and what wrote each
// answer, where the server says so.

import { button, h, keyed, letterOf } from "./dom.js";
import { placed } from "./placed.js";
import { prompt } from "./prompt.js";

/** `after`: {receipt, sent, work}; `work` is null where the page was loaded anew in between, and then no text is shown.
 * `goOn` is called for the next item. Returns the element and its heading, which takes the focus. */
export function aftermath({ receipt, sent, work }, t, goOn) {
  const known = receipt.feedback?.order ?? null;
  const sources = (receipt.sources ?? []).map((source) => source ?? t.after.unknown);
  const heading = h("h2", { tabindex: -1 }, headline(receipt.feedback, t));
  const row = (name, ...shown) => [h("dt", {}, name), h("dd", { dir: "auto" }, shown)];
  const orderRow = (name, groups, above) => row(name, h("ol", { class: "places", "aria-label": name }, placed(groups, above, t)));
  const pairs = known === null ? [] : differing(sent.order, known);
  const panel = h(
    "section",
    { class: "aftermath", "aria-label": t.after.title },
    heading,
    h(
      "dl",
      {},
      known === null ? null : orderRow(t.after.known, known, null),
      orderRow(t.order, sent.order, sent.acceptable),
      work === null ? sources.flatMap((source, answer) => row(t.answer(letterOf(answer)), source)) : null,
    ),
    pairs.length === 0 ? null : h("ul", { "aria-label": t.after.differing }, pairs.map((pair) => h("li", {}, t.after.differs(pair)))),
  );
  const bar = h(
    "footer",
    { class: "bar" },
    h("p", { class: "said-last small", role: "status" }),
    h("div", { class: "doing" }, button(keyed(t.after.goOn, "⏎"), goOn, { class: "primary ready" })),
  );
  const texts = work === null ? null : read(work, { own: sent.order, known, pairs, sources }, t);
  const element = h("div", { class: "item" }, work === null ? null : prompt(work.prompt, t).element, panel, texts, bar);
  return { element, heading };
}

function headline(feedback, t) {
  if (!feedback) return t.after.sources;
  return feedback.of === 0 ? t.after.allLevel : t.after.agree(feedback.agree, feedback.of);
}

/** The answers as they stood, to read once more, each with its rank in both orders and what wrote it. Marked are those of
 * `pairs`, which differ: another rank alone is none, where one order has a tie. */
function read(work, { own, known, pairs, sources }, t) {
  const differs = new Set(pairs.flatMap(({ better, worse }) => [better, worse]));
  const card = (text, answer) => {
    const mine = rankOf(own, letterOf(answer));
    const right = known === null ? mine : rankOf(known, letterOf(answer));
    const ranks = known === null ? t.after.rank(mine) : t.after.ranks(right, mine);
    return h(
      "li",
      { class: differs.has(letterOf(answer)) ? "card differs" : "card" },
      h(
        "div",
        { class: "controls" },
        h("span", { class: "letter" }, letterOf(answer)),
        h("span", { class: right === mine ? "small" : "small elsewhere" }, ranks),
        sources.length ? h("span", { class: "author", dir: "auto" }, sources[answer]) : null,
      ),
      h("div", { class: "text plain", dir: "auto" }, text),
    );
  };
  const cards = h("ol", { class: "cards" }, work.answers.map(card));
  return h("section", { class: "read", tabindex: 0, role: "group", "aria-label": t.answers }, cards);
}

const rankOf = (groups, letter) => 1 + groups.findIndex((group) => group.includes(letter));

/** Pairs that the known order decides and the own one has otherwise: {better, worse, level}. */
function differing(own, known) {
  return known.flatMap((group, at) =>
    group.flatMap((better) =>
      known
        .slice(at + 1)
        .flat()
        .filter((worse) => rankOf(own, better) >= rankOf(own, worse))
        .map((worse) => ({ better, worse, level: rankOf(own, better) === rankOf(own, worse) })),
    ),
  );
}
