// From a wish, which a key or a button says, to what is done.

import { get, persistently } from "./api.js";
import { DEEDS } from "./deeds.js";
import { goToDesk, showStatistics } from "./desks.js";
import { askFlags, askSkip, showGuidelines, showHelp } from "./dialogs.js";
import { letterOf } from "./dom.js";
import { saveDraft } from "./drafts.js";
import * as kept from "./kept.js";
import { keyOf, showKeys } from "./keymap.js";
import { alignTo } from "./scroll.js";
import { goOn, loadTrees, next, skip, submit, undo } from "./sending.js";
import { build, goTo, mark, refresh, showAftermath, showItem, showNotice, showTheme } from "./showing.js";
import { address, lost, state } from "./state.js";
import { draftOf, isList, isVerdict, question } from "./work.js";

const OTHERS = "formatted prompt guidelines help skip undo submit focusMode scrollTogether".split(" ");
const VERDICT = new Set(["left", "right", "same", ...OTHERS]);
const DOABLE = {
  pick: new Set([..."pick noPick focus next previous sure1 sure2 sure3 flag diff".split(" "), ...OTHERS]),
  pair: VERDICT,
  person: VERDICT,
}; // what can be done where no order is made: one answer is picked, or the better of two, or the one by a person

export async function act(wish) {
  const { work, desk, sending } = state;
  if (wish.name === "desk" && !sending) return goToDesk(wish.value);
  if (desk === "statistics" && wish.name === "undo") return;
  if (wish.name === "clear" && work !== null && nothingToClear(work)) return leaveFocusMode();
  if (state.after !== null && wish.name === "submit") return goOn();
  if (sending || (!work && !["help", "guidelines", "undo"].includes(wish.name))) return;
  if (work !== null && !(DOABLE[work.task]?.has(wish.name) ?? true)) return;
  if (wish.name === "pick" && wish.value >= work.count) return;
  const answer = wish.name === "pick" ? wish.value : (wish.answer ?? work?.focus);
  if (wish.name in DOING) return DOING[wish.name]({ ...wish, answer });
  const before = work.focus;
  work.focus = wish.answer ?? work.focus;
  const wasAsking = question(work) !== null;
  const said = DEEDS[wish.name](work, { ...wish, answer }, state.t);
  if (isVerdict(work.task)) return submit(); // it is decided, and nothing else is asked
  if (wish.name === "mode") kept.keepSetting("mode", work.mode);
  changed();
  if (said !== null) state.item.say(said);
  if (question(work) !== null || wasAsking || (work.focus !== before && !wish.stay)) state.item.focus(work);
}

/** Esc takes a rank away; where there is none to take, it is free to lead out of the focus mode. */
function nothingToClear(work) {
  return question(work) !== null || work.task === "pick" || (state.view.focusMode && work.order.ranks[work.focus] === null);
}

const leaveFocusMode = () => state.view.focusMode && DOING.focusMode();

function changed() {
  const { id } = state.work;
  refresh();
  mark((t) => t.notSaved, "draft");
  const kept = () => state.work?.id === id && mark((t) => t.draftKept, "draft");
  saveDraft(address("draft"), id, draftOf(state.work), { lost, kept });
}

const refocus = () => state.item?.focus(state.work);

const DOING = {
  focus: ({ value }) => goTo(value),
  next: () => goTo(state.work.focus + 1),
  previous: () => goTo(state.work.focus - 1),
  help: () => showHelp(state.t, settingChanged, refocus),
  prompt: () => state.item.unfold(),
  guidelines: async () => {
    if (!state.me?.guidelines) return;
    showGuidelines((await persistently(() => get("/api/guidelines"), lost)).tree, state.t, refocus);
  },
  diff: () => {
    const { view } = state;
    if (view.best === null) return state.item.say(state.t.diffNone);
    view.diff = !view.diff;
    refresh();
  },
  formatted: async () => {
    const { view } = state;
    view.formatted = !view.formatted;
    kept.keepSetting("formatted", view.formatted ? "on" : "off");
    if (view.formatted) await loadTrees();
    refresh();
    state.item?.format(view.formatted ? view.promptTrees : null);
  },
  focusMode: () => {
    const { view, t } = state;
    view.focusMode = !view.focusMode;
    kept.keepSetting("focusMode", view.focusMode ? "on" : "off");
    refresh();
    state.item.say(view.focusMode ? t.inFocus(keyOf("focusMode")) : t.outOfFocus);
  },
  scrollTogether: () => {
    const { view, work, t } = state;
    if (isList(work)) return;
    view.scrollTogether = !view.scrollTogether;
    kept.keepSetting("scrollTogether", view.scrollTogether ? "on" : "off");
    const texts = state.item.texts();
    if (view.scrollTogether) alignTo(texts[work.focus] ?? texts[0]);
    refresh();
    state.item.say(t.scrollsTogether[view.scrollTogether ? "on" : "off"]);
  },
  flag: ({ answer }) => {
    const { work, t } = state;
    const set = (flags) => {
      work.flags[answer] = flags;
      changed();
      const names = flags.map((flag) => t.flags[flag]).join(", ");
      state.item.say(flags.length ? t.flagged(letterOf(answer), names) : t.unflagged(letterOf(answer)));
    };
    askFlags(answer, work.flags[answer], t, set, refocus);
  },
  skip: () => askSkip(state.t, skip, refocus),
  undo,
  submit,
};

function settingChanged(name) {
  if (name === "letterKeys" || name === "keys") return showKeys();
  if (name === "theme") return showTheme();
  const dialog = document.querySelector("dialog");
  build();
  document.body.append(dialog);
  const { t, live } = state;
  if (state.work) showItem();
  else if (state.after !== null) showAftermath(state.after);
  else if (state.me === null) showNotice(t.login, t.loginText);
  else if (state.desk === "statistics") showStatistics();
  else if (live !== null && state.desk === "rank") live.again();
  else next("");
  dialog.addEventListener("close", DOING.help); // in the language that was chosen, once this one is gone
  dialog.close();
}
