// What annotators said of a disputed item, side by side, in the letters of whoever decides.

import { h } from "./dom.js";
import { placed } from "./placed.js";

export function opinions(said, t) {
  const rows = said.map((one) => {
    const flags = Object.entries(one.flags).map(([letter, names]) => `${letter}: ${names.map((flag) => t.flags[flag] ?? flag).join(", ")}`);
    const sure = one.confidence === null ? "" : t.sure[one.confidence - 1];
    return h(
      "li",
      { class: "opinion" },
      h("p", { class: "who", dir: "auto" }, one.annotator),
      h("ol", { class: "places", "aria-label": t.lead.orderOf(one.annotator) }, placed(one.order, one.acceptable, t)),
      h("p", { class: "small" }, [sure, ...flags].filter(Boolean).join(" · ")),
    );
  });
  return h(
    "section",
    { class: "opinions", "aria-label": t.lead.opinions },
    h("h2", {}, t.lead.opinions),
    h("ul", {}, rows),
  );
}
