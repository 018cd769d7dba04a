// What goes to the server and what comes back: submissions and receipts, skips, undo, the next item, formatted text.

import { persistently, post, Refused } from "./api.js";
import { button, letters } from "./dom.js";
import { forgetDraft } from "./drafts.js";
import * as kept from "./kept.js";
import { unplaced } from "./order.js";
import { goTo, mark, progress, refresh, say, showAftermath, showItem, showNotice } from "./showing.js";
import { address, deciding, lost, state } from "./state.js";
import { begun, isVerdict, question, submissionOf } from "./work.js";

const LONG = 120_000; // ms that somebody may have to wait for the next item
const LONGEST_FORMATTED = 40_000; // characters that the server formats

let undoing = Promise.resolve();

export async function submit() {
  const { work, item, t } = state;
  if (question(work) !== null && !isVerdict(work.task)) return;
  const open = unplaced(work.order.ranks);
  if (open.length) {
    const undecided = { pick: t.nothingPicked, pair: t.nothingDecided, person: t.nobodyNamed };
    item.say(undecided[work.task] ?? t.missing(letters(open)));
    return isVerdict(work.task) ? undefined : goTo(open[0]);
  }
  kept.keepPending(state.me.name, deciding(), submissionOf(work));
  state.sending = true;
  refresh();
  await deliver();
}

/** Sends what waits to be saved. Only the server's receipt makes it "saved", and only that removes it from here. */
export async function deliver() {
  const { me } = state;
  const waiting = kept.pending(me.name, deciding()) ?? submissionOf(state.work);
  mark((t) => t.saving, "draft");
  forgetDraft();
  try {
    const receipt = await persistently(() => post(address("submit"), waiting), lost);
    kept.keepPending(me.name, deciding(), null);
    kept.dropDraft(waiting.assignment);
    state.sending = false;
    await received(receipt, waiting);
  } catch (error) {
    state.sending = false;
    refused(error, () => kept.keepPending(me.name, deciding(), null));
  }
}

/** All that comes between a receipt and the next item. */
async function received(receipt, sent) {
  const { spent, work } = state;
  if (!receipt.feedback) {
    spent.items += 1;
    spent.seconds += sent.seconds;
  }
  if (work?.id === sent.assignment && state.desk === "rank") state.live?.ranked(work);
  const at = new Date(receipt.saved * 1000);
  mark((t) => t.saved(at.toLocaleTimeString(document.documentElement.lang)), "saved");
  if (receipt.feedback || receipt.sources) return showAftermath({ receipt, sent, work: work?.id === sent.assignment ? work : null });
  await next(state.t.submitted);
}

/** From what is told of the last item to the next one. */
export async function goOn() {
  const practice = state.after.work?.practice;
  state.after = null; // a second Enter finds nothing to go on from
  await next(isLast(practice) ? state.t.practice.over : state.t.submitted);
}

const isLast = (practice) => Boolean(practice) && practice.number === practice.of;

export async function skip(reason) {
  const { id, practice } = state.work;
  forgetDraft();
  try {
    await persistently(() => post(address("skip"), { assignment: id, reason }), lost);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 409) return refused(error);
  }
  kept.dropDraft(id);
  mark(() => "", "");
  await next(isLast(practice) ? state.t.practice.over : state.t.skipped);
}

/** One after another: two keys in a hurry go back two items, whichever answer comes first. */
export function undo() {
  undoing = undoing.then(undoOne, undoOne);
  return undoing;
}

async function undoOne() {
  try {
    const { item: given, progress: counts } = await post(address("undo"), {}, LONG);
    if (given === null) return say(state.after === null ? state.t.nothingToUndo : state.t.after.stays);
    state.me.progress = counts;
    open(given, state.t.undone);
  } catch (error) {
    if (error instanceof Refused) return refused(error);
    lost(true); // not tried again by itself: it may have come through, and a second one would go too far back
    await next("");
  }
}

export async function next(said) {
  const { me } = state;
  try {
    const { item: given, progress: counts } = await persistently(() => post(address("next"), {}, LONG), lost);
    const { t, live } = state;
    me.progress = counts;
    if (given === null && live !== null && state.desk === "rank") {
      progress();
      return live.compose(said === t.submitted ? t.kept : said);
    }
    if (given === null) {
      me.progress.left = 0; // what the store counts as left is a bound
      progress();
      const again = button(t.again, () => next(""));
      const [title, text] = deciding() ? [t.lead.done, t.lead.doneText] : [t.done, t.doneText];
      return showNotice(title, text, again, button(t.undo, undo, { class: "quiet" }));
    }
    open(given, said);
  } catch (error) {
    refused(error);
  }
}

export function open(given, said) {
  const { view } = state;
  state.work = begun(given, kept.localDraft(given.id), kept.setting("mode"));
  Object.assign(view, { trees: null, promptTrees: null, diff: false, best: null });
  progress();
  showItem();
  state.item.say(said);
  if (view.formatted) loadTrees().then(() => (refresh(), state.item?.format(view.promptTrees)));
}

/** Formatted text comes from the server when it is asked for; what is too long for it stays as it is. */
export async function loadTrees() {
  const { work, view } = state;
  const tree = async (text) =>
    text.length > LONGEST_FORMATTED ? null : (await persistently(() => post("/api/formatted", { text }), lost)).tree;
  let trees;
  try {
    trees = await Promise.all([...work.answers, ...work.prompt.map((turn) => turn.text)].map(tree));
  } catch (error) {
    return refused(error);
  }
  if (state.work?.id !== work.id) return;
  view.trees = trees.slice(0, work.count);
  view.promptTrees = trees.slice(work.count);
}

/** The server said no. `drop` is called where sending the same again cannot help. */
export function refused(error, drop = () => {}) {
  const { t } = state;
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401) return showNotice(t.login, t.expired);
  drop();
  if (error.status === 404 || error.status === 409) return next(t.taken);
  refresh();
  state.item?.say(t.refused(error.message));
}
