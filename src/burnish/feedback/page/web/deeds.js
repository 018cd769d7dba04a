// What the keys and buttons do to an item. Each takes the work and the action, changes the work, and returns what is
// said of it (read aloud and shown), or null.

import { letterOf, letters } from "./dom.js";
import * as insertion from "./insertion.js";
import * as order from "./order.js";
import { isVerdict } from "./work.js";

function moved(work, answer, t) {
  const rank = work.order.ranks[answer];
  const others = work.order.ranks.flatMap((other, at) => (other === rank && at !== answer ? [at] : []));
  return others.length
    ? t.tiedWith(letterOf(answer), letters(others), rank)
    : t.moved(letterOf(answer), rank, work.count);
}

function line(work, t) {
  const above = order.acceptable(work.order);
  if (above === null) return t.lineGone;
  return above === 0 ? t.lineNone : t.lineAbove(letters(order.places(work.order.ranks).slice(0, above).flat()));
}

const VERDICTS = { ">": [1, 2], "<": [2, 1], "=": [1, 1] }; // the ranks of two answers of which nothing else is asked

function compared(sign) {
  return (work, action, t) => {
    if (isVerdict(work.task)) {
      work.order = { ranks: VERDICTS[sign], line: null };
      return null;
    }
    const step = insertion.next(work.count, work.asked);
    if (!step.pair) return null;
    work.asked = [...work.asked.slice(0, step.done), [...step.pair, sign]];
    const after = insertion.next(work.count, work.asked);
    if (!after.ranks) return null;
    work.order = { ranks: after.ranks, line: null };
    return t.inOrder;
  };
}

const shifted = (change) => (work, { answer }, t) => {
  work.order = change(work.order, answer);
  return work.order.ranks[answer] === null ? null : moved(work, answer, t);
};

export const DEEDS = {
  rank(work, { answer, value, stay }, t) {
    if (value > work.count) return null;
    work.order = order.place(work.order, answer, value);
    const said = moved(work, answer, t);
    const open = order.unplaced(work.order.ranks);
    if (!stay && open.length) work.focus = open.find((other) => other > answer) ?? open[0];
    return said;
  },
  /** The one that is best, of an item of which nothing else is asked: the others share the second place. */
  pick(work, { answer }, t) {
    work.order = { ranks: work.order.ranks.map((_, at) => (at === answer ? 1 : 2)), line: null };
    work.focus = answer;
    return t.pickedIt(letterOf(answer));
  },
  noPick(work, action, t) {
    const taken = order.acceptable(work.order) === 0;
    work.order = taken ? order.empty(work.count) : { ranks: Array(work.count).fill(1), line: 0.5 };
    return taken ? t.nothingPicked : t.noneGood;
  },
  up: shifted((now, answer) => order.move(now, answer, -1)),
  down: shifted((now, answer) => order.move(now, answer, 1)),
  tie: shifted(order.tie),
  clear(work, { answer }, t) {
    work.order = { ...work.order, ranks: work.order.ranks.with(answer, null) };
    return t.cleared(letterOf(answer));
  },
  line(work, { answer }, t) {
    if (work.order.ranks[answer] === null) return t.lineFirst(letterOf(answer));
    work.order = order.lineAt(work.order, answer);
    return line(work, t);
  },
  none(work, action, t) {
    work.order = order.noneAcceptable(work.order);
    return line(work, t);
  },
  sure1: (work) => sure(work, 1),
  sure2: (work) => sure(work, 2),
  sure3: (work) => sure(work, 3),
  left: compared(">"),
  right: compared("<"),
  same: compared("="),
  takeBack(work) {
    work.asked = work.asked.slice(0, -1);
    return null;
  },
  mode(work, { value }) {
    const wanted = value ?? (work.mode === "place" ? "insertion" : "place");
    if (wanted === "insertion" && work.mode === "place" && insertion.next(work.count, work.asked).ranks) {
      work.asked = []; // all was compared: ask anew
      work.order = order.empty(work.count);
    }
    work.mode = wanted;
    return null;
  },
};

function sure(work, value) {
  work.confidence = work.confidence === value ? null : value;
  return null;
}
