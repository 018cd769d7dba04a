// The page: signs in, shows one item after another, and sees to it that nothing is lost.

import { get, persistently, post, Refused } from "./api.js";
import { DEEDS } from "./deeds.js";
import { askFlags, askSkip, showGuidelines, showHelp } from "./dialogs.js";
import { button, letterOf, letters } from "./dom.js";
import { forgetDraft, saveDraft } from "./drafts.js";
import { frame, notice } from "./frame.js";
import { itemView } from "./item.js";
import { action } from "./keys.js";
import * as kept from "./kept.js";
import { collection } from "./live.js";
import { places, unplaced } from "./order.js";
import { statistics } from "./statistics.js";
import { preferred, words } from "./texts.js";
import { begun, draftOf, question, submissionOf } from "./work.js";

const HEARTBEAT = 60_000; // ms
const LONG = 120_000; // ms that a lead may have to wait for the statistics
const LONGEST_FORMATTED = 40_000; // characters that the server formats
const IDLE = 120_000; // ms without a key or a touch: this is not time spent on the item

const OTHERS = "formatted prompt guidelines help skip undo submit".split(" ");
const DOABLE = {
  pick: new Set([..."pick noPick focus next previous sure1 sure2 sure3 flag diff".split(" "), ...OTHERS]),
  pair: new Set(["left", "right", "same", ...OTHERS]),
}; // what can be done where no order is made: one answer is picked, or the better of two

let t; // the words of the page's language
let page; // the frame
let me = null;
let work = null;
let item = null; // the view of `work`
let live = null; // where prompts are typed
let sending = false;
let desk = "rank"; // or, for a lead, "decide" what is disputed, or "statistics"
let undoing = Promise.resolve();
let lastActive = performance.now();
const spent = { items: 0, seconds: 0 };
const view = { formatted: kept.setting("formatted") === "on", trees: null, diff: false, best: null };

const lost = (away) => page.lost(away);
const deciding = () => desk === "decide";
const address = (name) => (deciding() ? `/api/lead/${name}` : `/api/${name}`);

// Showing

function build() {
  const chosen = kept.setting("language");
  const language = chosen === "auto" ? preferred(navigator.languages) : chosen;
  t = words(language);
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  document.documentElement.dataset.theme = kept.setting("theme");
  page = frame(t, act);
  page.hasGuidelines(me?.guidelines ?? false);
  if (me) progress();
  page.at(me?.lead ? desk : null);
  page.refresh(work, view);
}

function progress() {
  if (desk === "statistics") return page.progress(null);
  const rate = spent.items >= 3 && spent.seconds > 0 ? Math.round((3600 * spent.items) / spent.seconds) : null;
  page.progress(me.progress.rankings, me.progress.left, rate);
}

function showItem() {
  item = itemView(work, t, act);
  page.main.replaceChildren(item.element);
  refresh();
  item.format(view.formatted ? view.promptTrees : null);
  item.focus(work);
}

function refresh() {
  if (!work) return;
  const best = places(work.order.ranks)[0];
  view.best = best ? best[0] : null;
  item.refresh(work, view, sending);
  page.refresh(work, view);
}

/** Something else than an item. */
function show(element) {
  work = item = null;
  page.main.replaceChildren(element);
  page.refresh(null, view);
}

function showNotice(...parts) {
  show(notice(...parts));
  page.main.querySelector("h2").focus();
}

async function showStatistics() {
  work = item = null;
  page.refresh(null, view);
  page.main.replaceChildren(notice(t.lead.statistics, t.lead.working));
  let told;
  try {
    told = await persistently(() => get("/api/lead/statistics", LONG), lost);
  } catch (error) {
    return refused(error);
  }
  if (desk !== "statistics") return;
  const shown = statistics(told, t, showStatistics);
  page.main.replaceChildren(shown.element);
  shown.heading.focus();
}

/** What the collection of prompts does goes on while its lead is at another desk, where it must show nothing. */
const atRank = (shown) => (...given) => desk === "rank" && shown(...given);

/** To another desk of a lead. What was begun at this one is kept as its draft. */
async function goToDesk(name) {
  desk = name;
  page.at(me.lead ? desk : null);
  page.saved("", "");
  progress();
  if (desk === "statistics") return showStatistics();
  work = item = null;
  if (kept.pending(me.name, deciding()) !== null) return deliver();
  if (deciding()) page.main.replaceChildren(notice(t.lead.desks.decide, t.lead.working));
  const asked = desk === "rank" ? me.live?.asked : null;
  if (asked) {
    me.live.asked = null; // from now on the server tells when it is answered
    return live.follow(asked.id, asked.prompt);
  }
  await next("");
}

// Doing

async function act(wish) {
  if (wish.name === "desk" && !sending) return goToDesk(wish.value);
  if (desk === "statistics" && wish.name === "undo") return;
  if (sending || (!work && !["help", "guidelines", "undo"].includes(wish.name))) return;
  if (work !== null && !(DOABLE[work.task]?.has(wish.name) ?? true)) return;
  if (wish.name === "pick" && wish.value >= work.count) return;
  const answer = wish.name === "pick" ? wish.value : (wish.answer ?? work?.focus);
  if (wish.name in DOING) return DOING[wish.name]({ ...wish, answer });
  const before = work.focus;
  work.focus = wish.answer ?? work.focus;
  const wasAsking = question(work) !== null;
  const said = DEEDS[wish.name](work, { ...wish, answer }, t);
  if (work.task === "pair") return submit(); // it is decided, and nothing else is asked
  if (wish.name === "mode") kept.keepSetting("mode", work.mode);
  changed();
  if (said !== null) item.say(said);
  if (question(work) !== null || wasAsking || (work.focus !== before && !wish.stay)) item.focus(work);
}

function changed() {
  refresh();
  page.saved(t.notSaved, "draft");
  const id = work.id;
  saveDraft(address("draft"), id, draftOf(work), { lost, kept: () => work?.id === id && page.saved(t.draftKept, "draft") });
}

function goTo(answer) {
  if (answer < 0 || answer >= work.count) return;
  work.focus = answer;
  refresh();
  item.focus(work);
}

const refocus = () => item?.focus(work);

const DOING = {
  focus: ({ value }) => goTo(value),
  next: () => goTo(work.focus + 1),
  previous: () => goTo(work.focus - 1),
  help: () => showHelp(t, settingChanged, refocus),
  prompt: () => item.unfold(),
  guidelines: async () => {
    if (me?.guidelines) showGuidelines((await persistently(() => get("/api/guidelines"), lost)).tree, t, refocus);
  },
  diff: () => {
    if (view.best === null) return item.say(t.diffNone);
    view.diff = !view.diff;
    refresh();
  },
  formatted: async () => {
    view.formatted = !view.formatted;
    kept.keepSetting("formatted", view.formatted ? "on" : "off");
    if (view.formatted) await loadTrees();
    refresh();
    item?.format(view.formatted ? view.promptTrees : null);
  },
  flag: ({ answer }) => {
    const flagging = work;
    const set = (flags) => {
      flagging.flags[answer] = flags;
      changed();
      const names = flags.map((flag) => t.flags[flag]).join(", ");
      item.say(flags.length ? t.flagged(letterOf(answer), names) : t.unflagged(letterOf(answer)));
    };
    askFlags(answer, work.flags[answer], t, set, refocus);
  },
  skip: () => askSkip(t, skip, refocus),
  undo,
  submit,
};

function settingChanged(name) {
  if (name === "letterKeys") return;
  const dialog = document.querySelector("dialog");
  build();
  document.body.append(dialog);
  if (work) showItem();
  else if (me === null) showNotice(t.login, t.loginText);
  else if (desk === "statistics") showStatistics();
  else if (live !== null && desk === "rank") live.again();
  else next("");
  if (name !== "language") return;
  dialog.close();
  DOING.help(); // in the language that was chosen
}

/** Formatted text comes from the server when it is asked for; what is too long for it stays as it is. */
async function loadTrees() {
  const { id } = work;
  const tree = async (text) =>
    text.length > LONGEST_FORMATTED ? null : (await persistently(() => post("/api/formatted", { text }), lost)).tree;
  let trees;
  try {
    trees = await Promise.all([...work.answers, ...work.prompt.map((turn) => turn.text)].map(tree));
  } catch (error) {
    return refused(error);
  }
  if (work?.id !== id) return;
  view.trees = trees.slice(0, work.count);
  view.promptTrees = trees.slice(work.count);
}

// Sending

async function submit() {
  if (question(work) !== null && work.task !== "pair") return;
  const open = unplaced(work.order.ranks);
  if (open.length) {
    item.say({ pick: t.nothingPicked, pair: t.nothingDecided }[work.task] ?? t.missing(letters(open)));
    return work.task === "pair" ? undefined : goTo(open[0]);
  }
  kept.keepPending(me.name, deciding(), submissionOf(work));
  sending = true;
  refresh();
  await deliver();
}

/** Sends what waits to be saved. Only the server's receipt makes it "saved", and only that removes it from here. */
async function deliver() {
  const waiting = kept.pending(me.name, deciding()) ?? submissionOf(work);
  page.saved(t.saving, "draft");
  forgetDraft();
  try {
    const receipt = await persistently(() => post(address("submit"), waiting), lost);
    kept.keepPending(me.name, deciding(), null);
    kept.dropDraft(waiting.assignment);
    spent.items += 1;
    spent.seconds += waiting.seconds;
    sending = false;
    if (work?.id === waiting.assignment && desk === "rank") live?.ranked(work);
    page.saved(t.saved(new Date(receipt.saved * 1000).toLocaleTimeString(document.documentElement.lang)), "saved");
    await next(t.submitted);
  } catch (error) {
    sending = false;
    refused(error, () => kept.keepPending(me.name, deciding(), null));
  }
}

async function skip(reason) {
  const { id } = work;
  forgetDraft();
  try {
    await persistently(() => post(address("skip"), { assignment: id, reason }), lost);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 409) return refused(error); 
  }
  kept.dropDraft(id);
  page.saved("", "");
  await next(t.skipped);
}

/** One after another: two keys in a hurry go back two items, whichever answer comes first. */
function undo() {
  undoing = undoing.then(undoOne, undoOne);
  return undoing;
}

async function undoOne() {
  try {
    const { item: given, progress: counts } = await post(address("undo"), {}, LONG);
    if (given === null) return work ? item.say(t.nothingToUndo) : undefined;
    me.progress = counts;
    open(given, t.undone);
  } catch (error) {
    if (error instanceof Refused) return refused(error);
    lost(true); // not tried again by itself: it may have come through, and a second one would go too far back
    await next("");
  }
}

async function next(said) {
  try {
    const { item: given, progress: counts } = await persistently(() => post(address("next"), {}, LONG), lost);
    me.progress = counts;
    if (given === null && live !== null && desk === "rank") {
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

function open(given, said) {
  work = begun(given, kept.localDraft(given.id), kept.setting("mode"));
  Object.assign(view, { trees: null, promptTrees: null, diff: false, best: null });
  progress();
  showItem();
  item.say(said);
  if (view.formatted) loadTrees().then(() => (refresh(), item?.format(view.promptTrees)));
}

/** The server said no. `drop` is called where sending the same again cannot help. */
function refused(error, drop = () => {}) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401) return showNotice(t.login, t.expired);
  drop();
  if (error.status === 404 || error.status === 409) return next(t.taken);
  refresh();
  item?.say(t.refused(error.message));
}

// Beginning

async function signedIn() {
  const token = new URLSearchParams(location.hash.slice(1)).get("t");
  if (token !== null) history.replaceState(null, "", location.pathname); // out of the address bar and the history
  try {
    if (token !== null) return await persistently(() => post("/api/session", { token }), lost);
  } catch (error) {
    if (!(error instanceof Refused)) throw error; // a used link: the session that it opened may still be there
  }
  try {
    return await persistently(() => get("/api/me"), lost);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return null;
  }
}

function listen() {
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const pairs = work !== null && question(work) !== null;
    const list = work !== null && work.count > 4;
    const wish = action(event, { pairs, list, task: work?.task, letterKeys: kept.setting("letterKeys") === "on" });
    if (wish === null) return;
    event.preventDefault();
    act(wish);
  });
  document.addEventListener("focusin", (event) => {
    const answer = event.target.dataset?.answer;
    if (work === null || answer === undefined || Number(answer) === work.focus) return;
    work.focus = Number(answer);
    refresh();
  });
  for (const sign of ["keydown", "pointerdown", "pointermove", "wheel"]) {
    addEventListener(sign, () => (lastActive = performance.now()), { passive: true });
  }
  setInterval(() => {
    if (work && !document.hidden && performance.now() - lastActive < IDLE) work.seconds += 1;
  }, 1000);
  setInterval(() => {
    if (work && !document.hidden) post(address("heartbeat"), { assignment: work.id }).catch(() => {}); // submit will tell
  }, HEARTBEAT);
}

async function begin() {
  build();
  listen();
  me = await signedIn();
  if (me === null) return showNotice(t.login, t.loginText);
  page.hasGuidelines(me.guidelines);
  if (me.live) live = collection({ me, words: () => t, show: atRank(show), opened: atRank(open), undo, lost, refused });
  await goToDesk(me.lead ? "statistics" : "rank");
}

begin();
