// Ranking by pairwise questions: each answer is inserted into those already in order by binary search, about
// n log2 n questions. The state is nothing but the list of questions answered, so that a reload goes on where it was.
//
// asked: [[x, y, sign], …] where sign ">" says x is better, "<" y is better, "=" neither.

/** What comes next: {pair: [x, y], redundant} to be asked, or {ranks} when all is known. */
export function next(count, asked) {
  const groups = [[0]];
  let at = 0;
  for (let answer = 1; answer < count; answer += 1) {
    let low = 0;
    let high = groups.length;
    let joined = false;
    while (low < high) {
      const middle = (low + high) >> 1;
      const pair = sides(answer, groups[middle][0]);
      if (!same(asked[at], pair)) return { pair, redundant: false, done: at };
      const sign = asked[at][0] === answer ? asked[at][2] : turned(asked[at][2]);
      at += 1;
      if (sign === "=") {
        groups[middle].push(answer);
        joined = true;
        break;
      }
      if (sign === ">") high = middle;
      else low = middle + 1;
    }
    if (!joined) groups.splice(low, 0, [answer]);
  }
  if (count >= 4) {
    const pair = redundant(groups, asked.slice(0, at));
    if (!same(asked[at], pair)) return { pair, redundant: true, done: at };
    at += 1;
  }
  const ranks = Array(count);
  groups.forEach((group, place) => group.forEach((answer) => (ranks[answer] = place + 1)));
  return { ranks, done: at };
}

/** The most questions that may still be asked of so many answers, for the progress that is shown. */
export function atMost(count) {
  let questions = count >= 4 ? 1 : 0;
  for (let placed = 1; placed < count; placed += 1) questions += Math.ceil(Math.log2(placed + 1));
  return questions;
}

/** A pair whose order is known only through others, the nearest such; where all were asked, the first one again. */
function redundant(groups, asked) {
  const known = new Set(asked.map(([x, y]) => sides(x, y).join()));
  for (let apart = 1; apart < groups.length; apart += 1) {
    for (let place = 0; place + apart < groups.length; place += 1) {
      for (const better of groups[place]) {
        for (const worse of groups[place + apart]) {
          const pair = sides(better, worse);
          if (!known.has(pair.join())) return pair;
        }
      }
    }
  }
  return sides(asked[0][0], asked[0][1]);
}

const sides = (x, y) => (x < y ? [x, y] : [y, x]);
const same = (entry, pair) => entry !== undefined && entry[0] === pair[0] && entry[1] === pair[1];
const turned = (sign) => ({ ">": "<", "<": ">", "=": "=" })[sign];

/** The part of a stored list that has the form of questions to `count` answers. */
export function valid(asked, count) {
  const answer = (x) => Number.isInteger(x) && x >= 0 && x < count;
  return (
    Array.isArray(asked) &&
    asked.length <= 100 &&
    asked.every((e) => Array.isArray(e) && e.length === 3 && answer(e[0]) && answer(e[1]) && "><=".includes(e[2]))
  );
}
