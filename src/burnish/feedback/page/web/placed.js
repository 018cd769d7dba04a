// An order as it is read: places from best to worst, with the line of what is acceptable among them.

import { h } from "./dom.js";

/** List items for `groups` of letters, best first; `above`: how many places are acceptable, null where nobody said. */
export function placed(groups, above, t) {
  const items = groups.map((group) =>
    h("li", {}, group.flatMap((letter, at) => [at ? h("span", { class: "tie" }, "=") : null, h("b", {}, letter)])),
  );
  const words = above === 0 ? t.lineNoneShort : above === groups.length ? t.lineAll : t.line;
  if (above !== null) items.splice(above, 0, h("li", { class: "line" }, h("span", {}, words)));
  return items;
}
