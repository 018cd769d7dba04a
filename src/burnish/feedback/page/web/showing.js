// What is on the page: the frame, an item in it, or a few words in its place.

import { aftermath } from "./aftermath.js";
import { frame, notice } from "./frame.js";
import { itemView } from "./item.js";
import { showKeys } from "./keymap.js";
import * as kept from "./kept.js";
import { places } from "./order.js";
import { state } from "./state.js";
import { preferred, words } from "./texts.js";

let act; // what keys and buttons call

/** The page anew, in the language and the colours that are set. */
export function build(whatIsDone = act) {
  act = whatIsDone;
  const chosen = kept.setting("language");
  const language = chosen === "auto" ? preferred(navigator.languages) : chosen;
  state.t = words(language);
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  showTheme();
  state.page = frame(state.t, act);
  state.page.hasGuidelines(state.me?.guidelines ?? false);
  if (state.me) progress();
  mark(state.mark.words, state.mark.kind);
  state.page.at(state.me?.lead ? state.desk : null);
  state.page.refresh(state.work, state.view);
  showKeys();
}

/** Whether the server has what was done: "draft", "saved" or "" where nothing was. */
export function mark(words, kind) {
  state.mark = { words, kind };
  state.page.saved(words(state.t), kind);
}

export const showTheme = () => (document.documentElement.dataset.theme = kept.setting("theme"));

export function progress() {
  const { me, page, spent } = state;
  if (state.desk === "statistics") return page.progress(null);
  const practice = (state.work ?? state.after?.work)?.practice;
  if (practice) return page.practice(practice);
  const rate = spent.items >= 3 && spent.seconds > 0 ? Math.round((3600 * spent.items) / spent.seconds) : null;
  page.progress(me.progress.rankings, me.progress.left, rate);
}

export function showItem() {
  const { work, view } = state;
  state.after = null;
  state.item = itemView(work, state.t, act);
  state.page.main.replaceChildren(state.item.element);
  refresh();
  state.item.format(view.formatted ? view.promptTrees : null);
  state.item.focus(work);
}

export function refresh() {
  const { work, view } = state;
  if (!work) return;
  const best = places(work.order.ranks)[0];
  view.best = best ? best[0] : null;
  state.item.refresh(work, view, state.sending);
  state.page.refresh(work, view);
}

export function goTo(answer) {
  const { work } = state;
  if (answer < 0 || answer >= work.count) return;
  work.focus = answer;
  refresh();
  state.item.focus(work);
}

/** Something else than an item. */
export function show(element, after = null) {
  state.work = state.item = null;
  state.after = after;
  state.page.main.replaceChildren(element);
  state.page.refresh(null, state.view);
}

/** Says what happened, read aloud and shown, where what is shown has a place for it. */
export function say(text) {
  const said = state.page.main.querySelector("[role=status]");
  if (said) said.textContent = text;
}

/** What is told of an item that was just saved, until Enter or its button goes on. */
export function showAftermath(after) {
  const shown = aftermath(after, state.t, () => act({ name: "submit" }));
  show(shown.element, after);
  shown.heading.focus();
}

export function showNotice(...parts) {
  show(notice(...parts));
  state.page.main.querySelector("h2").focus();
}
