// The page begins here: it signs in, listens to keys and to time, and goes to the first item.

import { get, persistently, post, Refused } from "./api.js";
import { goToDesk } from "./desks.js";
import { act } from "./doing.js";
import { action } from "./keys.js";
import * as kept from "./kept.js";
import { collection } from "./live.js";
import { listenToScrolling } from "./scroll.js";
import { open, refused, undo } from "./sending.js";
import { build, refresh, show, showNotice } from "./showing.js";
import { address, lost, state } from "./state.js";
import { question } from "./work.js";

const HEARTBEAT = 60_000; // ms
const IDLE = 120_000; // ms without a key or a touch: this is not time spent on the item

let lastActive = performance.now();

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
    if (event.repeat && state.after !== null) return; // a key that is held would go on before anything is read
    const { work } = state;
    const pairs = work !== null && question(work) !== null;
    const list = work !== null && work.count > 4;
    const wish = action(event, { pairs, list, task: work?.task, letterKeys: kept.setting("letterKeys") === "on" });
    if (wish === null) return;
    event.preventDefault();
    act(wish);
  });
  document.addEventListener("focusin", (event) => {
    const { work } = state;
    const answer = event.target.dataset?.answer;
    if (work === null || answer === undefined || Number(answer) === work.focus) return;
    work.focus = Number(answer);
    refresh();
  });
  listenToScrolling();
  for (const sign of ["keydown", "pointerdown", "pointermove", "wheel"]) {
    addEventListener(sign, () => (lastActive = performance.now()), { passive: true });
  }
  setInterval(() => {
    if (state.work && !document.hidden && performance.now() - lastActive < IDLE) state.work.seconds += 1;
  }, 1000);
  setInterval(() => {
    if (!state.work || document.hidden) return;
    post(address("heartbeat"), { assignment: state.work.id }).catch(() => {}); // submit will tell
  }, HEARTBEAT);
}

/** What the collection of prompts does goes on while its lead is at another desk, where it must show nothing. */
const atRank = (shown) => (...given) => state.desk === "rank" && shown(...given);

async function begin() {
  build(act);
  listen();
  const me = (state.me = await signedIn());
  if (me === null) return showNotice(state.t.login, state.t.loginText);
  state.page.hasGuidelines(me.guidelines);
  if (me.live) {
    const shown = { show: atRank(show), opened: atRank(open) };
    state.live = collection({ me, words: () => state.t, ...shown, undo, lost, refused });
  }
  await goToDesk(me.lead ? "statistics" : "rank");
}

begin();
