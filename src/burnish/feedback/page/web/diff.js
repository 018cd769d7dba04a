// Words of one text against another: Myers' shortest edit script (Algorithmica 1986), on words.

const LIMIT = 600; // edits; two texts further apart than that have no difference that a person would read

/** [{kind: "same" | "added" | "removed", text}, …] that turns `before` into `after`; null where they are too far apart. */
export function diff(before, after) {
  const a = words(before);
  const b = words(after);
  let start = 0;
  while (start < a.length && start < b.length && equal(a[start], b[start])) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && equal(a.at(-1 - end), b.at(-1 - end))) end += 1;
  const middle = script(a.slice(start, a.length - end), b.slice(start, b.length - end));
  if (middle === null) return null;
  const pieces = [
    ...b.slice(0, start).map((text) => ({ kind: "same", text })),
    ...middle,
    ...b.slice(b.length - end).map((text) => ({ kind: "same", text })),
  ];
  return joined(pieces);
}

const segmenter = new Intl.Segmenter(undefined, { granularity: "word" }); // Chinese has words without spaces too

/** Words with the space after them: a space that two words have in common is no agreement between texts. */
function words(text) {
  const found = [];
  for (const { segment } of segmenter.segment(text)) {
    if (found.length && /^\s+$/.test(segment)) found[found.length - 1] += segment;
    else found.push(segment);
  }
  return found;
}

const equal = (one, other) => one.trimEnd() === other.trimEnd();

function script(a, b) {
  const size = a.length + b.length;
  const furthest = new Map([[1, 0]]);
  const trail = [];
  for (let edits = 0; edits <= Math.min(size, LIMIT); edits += 1) {
    trail.push(new Map(furthest));
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && (furthest.get(k - 1) ?? -1) < (furthest.get(k + 1) ?? -1));
      let x = down ? furthest.get(k + 1) : furthest.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && equal(a[x], b[x - k])) x += 1;
      furthest.set(k, x);
      if (x >= a.length && x - k >= b.length) return walkedBack(a, b, trail);
    }
  }
  return null;
}

function walkedBack(a, b, trail) {
  const pieces = [];
  let x = a.length;
  let y = b.length;
  for (let edits = trail.length - 1; edits >= 0; edits -= 1) {
    const furthest = trail[edits];
    const k = x - y;
    const down = k === -edits || (k !== edits && (furthest.get(k - 1) ?? -1) < (furthest.get(k + 1) ?? -1));
    const fromX = edits === 0 ? 0 : furthest.get(down ? k + 1 : k - 1);
    const fromY = edits === 0 ? 0 : fromX - (down ? k + 1 : k - 1);
    while (x > fromX && y > fromY) {
      x -= 1;
      y -= 1;
      pieces.push({ kind: "same", text: b[y] });
    }
    if (edits === 0) break;
    if (down) {
      y -= 1;
      pieces.push({ kind: "added", text: b[y] });
    } else {
      x -= 1;
      pieces.push({ kind: "removed", text: a[x] });
    }
  }
  return pieces.reverse();
}

/** Runs of one kind in one piece; between two that are the same, first all that is removed, then all that is added. */
function joined(pieces) {
  const result = [];
  let removed = "";
  let added = "";
  const flush = () => {
    if (removed) result.push({ kind: "removed", text: removed });
    if (added) result.push({ kind: "added", text: added });
    removed = added = "";
  };
  for (const { kind, text } of pieces) {
    if (kind === "removed") removed += text;
    else if (kind === "added") added += text;
    else {
      flush();
      if (result.at(-1)?.kind === "same") result.at(-1).text += text;
      else result.push({ kind, text });
    }
  }
  flush();
  return result;
}
