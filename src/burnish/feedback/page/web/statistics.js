// The statistics of a store for its lead: the same figures as `burnish rank stats`, in tables.

import { button, h } from "./dom.js";
import { interval, number, percent, signed, table } from "./table.js";

/** `told`: the server's answer. `again` asks for it anew. */
export function statistics(told, t, again) {
  const w = t.lead;
  const found = told.statistics;
  const name = (alias) => told.names[alias] ?? alias;
  const time = new Date(told.at * 1000).toLocaleTimeString(document.documentElement.lang);
  const heading = h("h2", { tabindex: -1 }, w.statistics);
  const element = h(
    "section",
    { class: "statistics" },
    heading,
    h(
      "p",
      { class: "small as-of", role: "status" },
      told.now ? w.asOf(time) : w.older(time),
      " ",
      button(t.again, again, { class: "quiet" }),
    ),
    found === null ? h("p", {}, w.nothing) : headline(found, told.unscored, w),
    progress(told, w),
    ...(found === null ? [] : [agreement(found, w), annotators(found, name, t)]),
    practice(told, name, w),
    ...(found === null ? [] : [two(found, name, w), blocks(found, name, w), bias(found, w), systems(found, w)]),
  );
  return { element, heading };
}

const points = (share) => signed(100 * share, 1);

// The line that matters most: the model beside people, and what more rankings would bring.
function foretelling({ ceiling, beside, curve }, unscored, w) {
  const people = ceiling.value === null ? w.noCeiling : w.ceiling(percent(ceiling.value), interval(ceiling, percent));
  const lines = [beside === null ? people : w.beside(percent(beside.model.value), interval(beside.model, percent), percent(beside.people.value), interval(beside.people, percent))];
  if (unscored) lines.push(w.unscored);
  if (curve !== null) lines.push(w.more(curve.more, points(curve.gain.value), interval(curve.gain, points)));
  return lines;
}

function headline(found, unscored, w) {
  const people = Object.keys(found.annotators).length;
  return h(
    "div",
    { class: "headline" },
    ...foretelling(found, unscored, w).map((line) => h("p", { class: "large" }, line)),
    h("p", {}, w.summary(found.rankings, found.items, people, found.items_with_two)),
    h("p", {}, w.disputed(found.disputes)),
  );
}

function progress(told, w) {
  const last = (moment) => (moment === null ? "–" : new Date(moment * 1000).toLocaleString(document.documentElement.lang));
  const rows = told.progress.map((one) => [one.name, one.rankings, one.skipped, one.open, one.left, last(one.last)].map(String));
  return table(w.progress, ["", w.ranked, w.skipped, w.open, w.left, w.last], rows);
}

function agreement(found, w) {
  const row = (name, figure, rests) => [name, number(figure.value), interval(figure), rests(figure.clusters)];
  return table(w.agreement, ["", w.value, w.interval, w.restsOn], [
    row(w.alpha, found.alpha, w.items),
    row(w.alphaNominal, found.alpha_nominal, w.items),
    ...Object.entries(found.alpha_ranks).map(([size, figure]) => row(w.alphaRanks(size), figure, w.items)),
    row(w.withTies, found.pairs.with_ties, w.prompts),
    row(w.withoutTies, found.pairs.without_ties, w.prompts),
    row(w.foretold, found.ceiling, w.prompts),
    ...(found.beside === null ? [] : [
      row(w.byModel, found.beside.model, w.prompts),
      row(w.byPeople, found.beside.people, w.prompts),
      row(w.difference, found.beside.difference, w.prompts),
    ]),
  ]);
}

function annotators(found, name, t) {
  const w = t.lead;
  const rows = Object.entries(found.annotators).map(([alias, { conduct, gold, consistency, reliability }]) => [
    name(alias),
    String(conduct.rankings),
    number(conduct.active_items_an_hour, 0),
    number(conduct.median_seconds, 0),
    number(conduct.tie_rate, 2),
    number(conduct.none_acceptable_rate, 2),
    consistency === null ? "–" : `${number(consistency.with_ties, 2)} (${consistency.items})`,
    gold === null ? "–" : `${gold.right}/${gold.items} ${interval(gold, (value) => number(value, 2))}`,
    number(conduct.transitivity, 2),
    number(reliability?.discernment, 2),
    number(reliability?.weight, 2),
    conduct.flags.length ? h("strong", { class: "flagged" }, conduct.flags.join("; ")) : "–",
  ]);
  return table(w.annotators, ["", w.n, w.rate, w.seconds, w.ties, w.noneOk, w.repeats, w.gold, w.transitive, w.discerns, w.weight, w.flags], rows);
}

const practice = (told, name, w) =>
  table(w.practice, ["", w.itemsHead, w.pairsRight], Object.entries(told.calibration).map(([alias, one]) => [
    name(alias), String(one.items), `${one.right}/${one.pairs}`,
  ]));

const two = (found, name, w) =>
  table(w.two, ["", w.tau, w.itemsHead, w.undefined], found.two_annotators.map((one) => [
    `${name(one.first)}, ${name(one.second)}`, number(one.tau_b), String(one.items), String(one.undefined),
  ]));

const blocks = (found, name, w) =>
  table(w.blocks, ["", w.answers, w.itemsHead, w.meanW], found.blocks.map((one) => [
    one.annotators.map(name).join(", "), String(one.answers), String(one.items), number(one.w),
  ]));

function bias({ position, length }, w) {
  const rows = [];
  if (position.rankings) {
    const wins = Object.entries(position.wins).map(([letter, count]) => `${letter} ${count}`).join(" ");
    rows.push([w.position(position.degrees), number(position.chi_square, 2), `p = ${number(position.p)}`, `${w.rankings(position.rankings)}: ${wins}`]);
  }
  if (length.pairs) {
    rows.push([w.longer, number(length.longer_wins.value), interval(length.longer_wins), w.pairs(length.pairs)]);
    rows.push([w.slope, number(length.slope.value, 2), interval(length.slope, (value) => number(value, 2)), w.pairs(length.pairs)]);
  }
  return table(w.bias, ["", w.value, w.interval, w.restsOn], rows);
}

function systems(found, w) {
  const rows = Object.entries(found.systems?.strengths ?? {}).map(([name, one]) => [
    name, String(one.won), String(one.tied), String(one.lost),
    signed(one.bradley_terry.value), interval(one.bradley_terry, signed), signed(one.davidson.value), interval(one.davidson, signed),
  ]);
  return table(w.systems, ["", w.won, w.tied, w.lost, "Bradley–Terry", w.interval, "Davidson", w.interval], rows);
}
