// What every part of the page knows: who is here, at which desk, with which item, and how it is to be shown.

import * as kept from "./kept.js";

export const state = {
  t: null, // the words of the page's language
  page: null, // the frame
  me: null,
  work: null, // the item that is being ranked, as far as that has come
  item: null, // the view of `work`
  after: null, // what was just saved and is told about, in place of an item: see aftermath.js
  live: null, // where prompts are typed
  sending: false,
  mark: { words: () => "", kind: "" }, // what is said on top of whether the server has it, in the words of a language
  desk: "rank", // or, for a lead, "decide" what is disputed, or "statistics"
  spent: { items: 0, seconds: 0 },
  view: {
    formatted: kept.setting("formatted") === "on",
    focusMode: kept.setting("focusMode") === "on",
    scrollTogether: kept.setting("scrollTogether") === "on",
    trees: null,
    diff: false,
    best: null,
  },
};

export const deciding = () => state.desk === "decide";

/** Where this desk's requests go. */
export const address = (name) => (deciding() ? `/api/lead/${name}` : `/api/${name}`);

export const lost = (away, full) => state.page.lost(away, full);
