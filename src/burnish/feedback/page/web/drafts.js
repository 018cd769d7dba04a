// Drafts go to the browser's storage at once and to the server soon after; only the newest is worth sending.

import { persistently, post, Refused } from "./api.js";
import { keepDraft } from "./kept.js";

const SOON = 400; // ms: one request for a burst of keys

let waiting = null;
let timer = null;
let sending = null;
let sent = 0; // how many items were submitted or skipped: of those, no draft is spoken of any more

/** `path`: where this desk's drafts go. */
export function saveDraft(path, assignment, draft, { lost, kept }) {
  keepDraft(assignment, draft);
  waiting = { path, body: { assignment, draft } };
  clearTimeout(timer);
  timer = setTimeout(() => (sending ??= send(lost, kept).finally(() => (sending = null))), SOON);
}

/** No draft is sent any more of what is about to be submitted or skipped, and one that is under way stays unsaid. */
export function forgetDraft() {
  clearTimeout(timer);
  waiting = null;
  sent += 1;
}

async function send(lost, kept) {
  while (waiting !== null) {
    let current = waiting;
    const before = sent;
    waiting = null;
    try {
      await persistently(() => {
        current = waiting ?? current;
        waiting = null;
        return post(current.path, current.body);
      }, lost);
      if (sent === before) kept();
    } catch (error) {
      if (!(error instanceof Refused)) throw error; // refused: the item is no longer ours, and next() will tell
    }
  }
}
