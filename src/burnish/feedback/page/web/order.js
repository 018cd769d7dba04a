// A weak order while it is being made: one rank an answer, 1 is best, equal ranks tie, null is not placed yet.
// `line` stands between two ranks (1.5: between the first and the second place): what is below it is not acceptable.
// Every function takes an order and returns a new one; nothing here touches the page.

export const empty = (count) => ({ ranks: Array(count).fill(null), line: null });

/** Places from best to worst, each a list of answers. */
export function places(ranks) {
  const byRank = new Map();
  ranks.forEach((rank, answer) => {
    if (rank !== null) byRank.set(rank, [...(byRank.get(rank) ?? []), answer]);
  });
  return [...byRank.keys()].sort((a, b) => a - b).map((rank) => byRank.get(rank));
}

export const unplaced = (ranks) => ranks.flatMap((rank, answer) => (rank === null ? [answer] : []));

/** How many places are acceptable; null where nobody said. */
export function acceptable({ ranks, line }) {
  return line === null ? null : new Set(ranks.filter((rank) => rank !== null && rank < line)).size;
}

function fromPlaces(count, groups, above) {
  const ranks = Array(count).fill(null);
  groups.forEach((group, at) => group.forEach((answer) => (ranks[answer] = at + 1)));
  return { ranks, line: above === null ? null : above + 0.5 };
}

/** The same order with ranks 1, 2, 3 … without gaps, once every answer is placed. Until then a rank stays as given. */
export function settled(order) {
  if (order.ranks.includes(null)) return order;
  return fromPlaces(order.ranks.length, places(order.ranks), acceptable(order));
}

export function place(order, answer, rank) {
  const ranks = order.ranks.with(answer, rank);
  return settled({ ...order, ranks });
}

/** One step towards the best (-1) or the worst (+1) place. Out of a tie it goes first; an unplaced answer goes last. */
export function move(order, answer, step) {
  const groups = places(order.ranks);
  let above = acceptable(order);
  const at = groups.findIndex((group) => group.includes(answer));
  if (at < 0) {
    groups.push([answer]);
  } else if (groups[at].length > 1) {
    groups[at] = groups[at].filter((other) => other !== answer);
    groups.splice(step < 0 ? at : at + 1, 0, [answer]);
    if (above !== null && above > at) above += 1;
  } else {
    const to = at + step;
    if (to < 0 || to >= groups.length) return order;
    [groups[at], groups[to]] = [groups[to], groups[at]];
  }
  return fromPlaces(order.ranks.length, groups, above);
}

/** The answer joins the place above its own; an unplaced one joins the last place. */
export function tie(order, answer) {
  const groups = places(order.ranks);
  let above = acceptable(order);
  const at = groups.findIndex((group) => group.includes(answer));
  if (groups.length === 0 || at === 0) return order;
  if (at < 0) {
    groups.at(-1).push(answer);
  } else {
    groups[at] = groups[at].filter((other) => other !== answer);
    groups[at - 1].push(answer);
    if (groups[at].length === 0) {
      groups.splice(at, 1);
      if (above !== null && above > at) above -= 1;
    }
  }
  return fromPlaces(order.ranks.length, groups, above);
}

/** The line goes under the answer's place, then over it, then away. An unplaced answer has no place: no change. */
export function lineAt(order, answer) {
  const rank = order.ranks[answer];
  if (rank === null) return order;
  if (order.line === null || (order.line !== rank + 0.5 && order.line !== rank - 0.5)) {
    return { ...order, line: rank + 0.5 };
  }
  return { ...order, line: order.line === rank + 0.5 ? rank - 0.5 : null };
}

/** Nothing is acceptable, or (a second time) nothing is said about it. */
export function noneAcceptable(order) {
  return { ...order, line: acceptable(order) === 0 ? null : 0.5 };
}

/** What is wrong with an order that came from a draft; a draft is kept by the browser and may be from another time. */
export function valid(order, count) {
  const whole = (rank) => rank === null || (Number.isInteger(rank) && rank >= 1 && rank <= count);
  return (
    Array.isArray(order?.ranks) &&
    order.ranks.length === count &&
    order.ranks.every(whole) &&
    (order.line === null || (Number.isInteger(order.line + 0.5) && order.line > 0 && order.line <= count + 0.5))
  );
}
