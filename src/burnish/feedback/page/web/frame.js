// What stands around an item: the line on top, the banner, and the pages that are shown when there is no item.

import { button, h, signButton } from "./dom.js";
import { keyedFor } from "./keymap.js";
import { tools } from "./tools.js";

export function frame(t, act) {
  const progress = h("span", { class: "progress" });
  const rate = h("span", { class: "rate" });
  const saved = h("span", { class: "saved", role: "status" });
  const desks = ["statistics", "decide", "rank"].map((name) =>
    button(t.lead.desks[name], () => act({ name: "desk", value: name }), { "aria-pressed": "false" }),
  );
  const leading = h("span", { class: "segments", role: "group", "aria-label": t.lead.desk, hidden: true }, desks);
  const guidelines = button(keyedFor(t.guidelines, "guidelines"), () => act({ name: "guidelines" }), { class: "quiet", hidden: true });
  const { elements, refresh: refreshTools } = tools(t, act);
  const top = h(
    "header",
    { class: "top" },
    h("h1", { class: "unseen" }, t.title),
    h("div", { class: "facts" }, leading, progress, rate, saved),
    h(
      "div",
      { class: "tools" },
      elements,
      guidelines,
      signButton("?", t.help, () => act({ name: "help" }), { class: "quiet" }),
    ),
  );
  const why = h("span");
  const banner = h(
    "div",
    { class: "banner", role: "alert", hidden: true },
    why,
    button(t.retry, () => dispatchEvent(new Event("burnish-retry"))),
  );
  const main = h("main", {});
  document.body.replaceChildren(top, banner, main);
  document.title = t.title;

  return {
    main,
    lost: (away, full = false) => {
      why.textContent = full ? t.full : t.offline;
      banner.hidden = !away;
    },
    hasGuidelines: (there) => (guidelines.hidden = !there),
    /** The desk that a lead is at; null for those who do not lead. */
    at: (desk) => {
      leading.hidden = desk === null;
      for (const tool of elements) tool.hidden = desk === "statistics";
      desks.forEach((one, at) => one.setAttribute("aria-pressed", String(desk === ["statistics", "decide", "rank"][at])));
    },
    saved: (text, state) => {
      saved.textContent = text;
      saved.dataset.state = state;
    },
    progress: (done, left, anHour) => {
      progress.textContent = done === null ? "" : t.progress(done, left === null ? null : done + left);
      rate.textContent = (anHour ?? null) === null ? "" : t.rate(anHour);
    },
    practice: ({ number, of }) => {
      progress.textContent = t.practice.count(number, of);
      rate.textContent = "";
    },
    refresh: (work, view) => {
      refreshTools(work, view);
      document.documentElement.dataset.focus = work && view.focusMode ? "on" : "off";
    },
  };
}

/** A page of a few words in place of an item. */
export function notice(title, text, ...more) {
  const said = h("p", { class: "small", role: "status" });
  return h("section", { class: "notice" }, h("h2", { tabindex: -1 }, title), h("p", {}, text), more, said);
}
