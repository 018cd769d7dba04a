// One item while somebody ranks it: what they have decided so far, and its forms as a draft and as a submission.

import * as insertion from "./insertion.js";
import * as order from "./order.js";
import { letterOf } from "./dom.js";

const SURE = [null, 1, 2, 3];
const indexOf = (letter) => letter.charCodeAt(0) - 65;

/** An item from the server, with the newest of its drafts: the server's, or the one that this browser kept. */
export function begun(item, kept, mode) {
  const count = item.answers.length;
  const fresh = {
    ...item,
    count,
    order: order.empty(count),
    confidence: null,
    flags: Array.from({ length: count }, () => []),
    mode,
    asked: [],
    seconds: 0,
    focus: 0,
  };
  const sent = item.submission; // before an undo; what was changed after it is newer
  const newest = [item.draft, kept]
    .filter((draft) => valid(draft, count) && !(draft.at <= sent?.client_ms))
    .sort((a, b) => b.at - a.at)[0];
  if (!newest) return sent ? { ...fresh, ...fromSubmission(sent, count) } : fresh;
  const { ranks, line, confidence, flags, asked, seconds } = newest;
  return { ...fresh, order: { ranks, line }, confidence, flags, mode: newest.mode, asked, seconds };
}

function valid(draft, count) {
  return (
    draft !== null &&
    typeof draft === "object" &&
    Number.isFinite(draft.at) &&
    order.valid(draft, count) &&
    insertion.valid(draft.asked, count) &&
    SURE.includes(draft.confidence) &&
    ["place", "insertion"].includes(draft.mode) &&
    Number.isFinite(draft.seconds) &&
    Array.isArray(draft.flags) &&
    draft.flags.length === count &&
    draft.flags.every((flags) => Array.isArray(flags))
  );
}

export const draftOf = (work) => ({
  ...work.order,
  confidence: work.confidence,
  flags: work.flags,
  asked: work.asked,
  mode: work.mode,
  seconds: Math.round(work.seconds),
  at: Date.now(),
});

/** What is sent, in the letters that were shown. `key` makes a second sending of the same harmless. */
export function submissionOf(work) {
  const flagged = work.flags.map((flags, answer) => [letterOf(answer), flags]).filter(([, flags]) => flags.length);
  const compared = work.task === "rank" && work.asked.length > 0 && "ranks" in insertion.next(work.count, work.asked);
  return {
    assignment: work.id,
    key: uuid(),
    order: order.places(work.order.ranks).map((group) => group.map(letterOf)),
    acceptable: order.acceptable(work.order),
    confidence: work.confidence,
    flags: Object.fromEntries(flagged),
    seconds: Math.round(work.seconds),
    mode: work.task !== "rank" ? work.task : compared ? "insertion" : "place",
    comparisons: compared ? work.asked.map(([x, y, sign]) => [letterOf(x), letterOf(y), sign]) : [],
    client_ms: Date.now(),
  };
}

function fromSubmission(sent, count) {
  const ranks = Array(count).fill(null);
  sent.order.forEach((group, at) => group.forEach((letter) => (ranks[indexOf(letter)] = at + 1)));
  const flags = Array.from({ length: count }, (_, answer) => sent.flags?.[letterOf(answer)] ?? []);
  const line = sent.acceptable === null || sent.acceptable === undefined ? null : sent.acceptable + 0.5;
  const asked = (sent.comparisons ?? []).map(([x, y, sign]) => [indexOf(x), indexOf(y), sign]);
  const mode = sent.mode === "insertion" ? "insertion" : "place";
  return { order: { ranks, line }, confidence: sent.confidence ?? null, flags, asked, mode, seconds: sent.seconds ?? 0 };
}

/** Is the better of two answers, or the one by a person, all that is asked? */
export const isVerdict = (task) => task === "pair" || task === "person";

/** Is a question to be asked, rather than an order to be looked at? Where a verdict is wanted nothing else is. */
export function question(work) {
  if (isVerdict(work.task)) return { pair: [0, 1], most: 1 };
  if (work.mode !== "insertion" || work.task === "pick") return null;
  const step = insertion.next(work.count, work.asked);
  return step.pair ? { ...step, most: insertion.atMost(work.count) } : null;
}

/** More answers than stand beside each other: one at a time is shown, and a list of all. */
export const isList = (work) => work.count > 4 && question(work) === null;

/** crypto.randomUUID is missing where the page comes over plain http from another machine. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
