// The desks of a lead, who ranks, decides what is disputed, or looks at the statistics; everybody else has the first.

import { get, persistently } from "./api.js";
import { notice } from "./frame.js";
import * as kept from "./kept.js";
import { deliver, next, refused } from "./sending.js";
import { mark, progress, show } from "./showing.js";
import { deciding, lost, state } from "./state.js";
import { statistics } from "./statistics.js";

const LONG = 120_000; // ms that a lead may have to wait for the statistics

/** To another desk. What was begun at this one is kept as its draft. */
export async function goToDesk(name) {
  const { me, page, t } = state;
  state.desk = name;
  page.at(me.lead ? name : null);
  mark(() => "", "");
  progress();
  if (name === "statistics") return showStatistics();
  state.work = state.item = state.after = null;
  if (kept.pending(me.name, deciding()) !== null) return deliver();
  if (deciding()) page.main.replaceChildren(notice(t.lead.desks.decide, t.lead.working));
  const asked = name === "rank" ? me.live?.asked : null;
  if (asked) {
    me.live.asked = null; // from now on the server tells when it is answered
    return state.live.follow(asked.id, asked.prompt);
  }
  await next("");
}

export async function showStatistics() {
  show(notice(state.t.lead.statistics, state.t.lead.working));
  let told;
  try {
    told = await persistently(() => get("/api/lead/statistics", LONG), lost);
  } catch (error) {
    return refused(error);
  }
  if (state.desk !== "statistics") return;
  const shown = statistics(told, state.t, showStatistics);
  state.page.main.replaceChildren(shown.element);
  shown.heading.focus();
}
