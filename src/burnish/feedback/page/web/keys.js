// From a key to what it does. Signs are taken as typed, so that they work on every keyboard layout.

import { actionOf } from "./keymap.js";
import { isVerdict } from "./work.js";

const ANYWHERE = "formatted prompt guidelines skip help focusMode scrollTogether".split(" ");
const only = (names, others) => ({ ...Object.fromEntries([...ANYWHERE, ...names].map((name) => [name, name])), ...others });
/** What the action of a key is where something else than an order is asked for; what is not named does nothing there. */
const PAIRS = only(["mode"], { tie: "same", undo: "takeBack" });
const VERDICT = only(["undo"], { tie: "same" });
const DIGITS = { 1: "left", 2: "right" };
const NAMED = { ArrowRight: "next", ArrowLeft: "previous", Escape: "clear", Enter: "submit" };
const PAIR_NAMED = { ArrowLeft: "left", ArrowRight: "right", Escape: "clear" };
const VERDICT_NAMED = { ...PAIR_NAMED, Enter: "submit" }; // what was decided before it was taken back

/** {name, value?} for a key that does something now, else null. `pairs`: a question is being asked. */
export function action(event, { pairs, task, letterKeys, list }) {
  const pick = task === "pick";
  if (isVerdict(task) && event.repeat) return null; // a key that is held would decide the items after this one
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || typing(event.target)) return null;
  const { key, shiftKey } = event;
  if (event.target.closest?.("button, summary, a") && (key === "Enter" || key === " ")) return null;
  if (!pairs && shiftKey && key === "ArrowUp") return { name: "up" };
  if (!pairs && shiftKey && key === "ArrowDown") return { name: "down" };
  if (list && !shiftKey && key === "ArrowDown") return { name: "next" };
  if (list && !shiftKey && key === "ArrowUp") return { name: "previous" };
  const named = (isVerdict(task) ? VERDICT_NAMED : pairs ? PAIR_NAMED : NAMED)[key];
  if (named) return { name: named };
  if (!letterKeys || key.length !== 1) return null;
  if (!pairs && /^[1-9]$/.test(key)) {
    return pick ? { name: "pick", value: Number(key) - 1 } : { name: "rank", value: Number(key) };
  }
  if (!pairs && shiftKey && /^[A-P]$/i.test(key)) {
    return { name: pick ? "pick" : "focus", value: key.toUpperCase().charCodeAt(0) - 65 };
  }
  const name = actionOf(key);
  const known = pairs ? (DIGITS[key] ?? (isVerdict(task) ? VERDICT : PAIRS)[name]) : pick && name === "line" ? "noPick" : name;
  return known ? { name: known } : null;
}

const typing = (target) => target.matches?.("input, textarea, select, [contenteditable]") ?? false;
