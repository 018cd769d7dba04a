// Answers beside each other that scroll as one, each by its own share: halfway down one is halfway down all.

import { setting } from "./kept.js";

const at = new WeakMap(); // where each text was last seen or put: an event that finds it there has nothing new to say

const room = (text) => text.scrollHeight - text.clientHeight;

/** Puts the others where `text` is. What does not scroll, or is not shown (a list, a phone), stays as it is. */
export function alignTo(text) {
  if (room(text) <= 0) return;
  const share = text.scrollTop / room(text);
  at.set(text, text.scrollTop);
  for (const other of text.closest(".cards").querySelectorAll(".text")) {
    if (other === text || room(other) <= 0) continue;
    other.scrollTop = share * room(other);
    at.set(other, other.scrollTop); // as the browser rounds it
  }
}

/** Follows whatever text is scrolled, while the setting is on. A text that was moved for the sake of another moves none. */
export function listenToScrolling() {
  const follow = ({ target }) => {
    if (setting("scrollTogether") !== "on" || !target.matches?.(".cards .text")) return;
    if (target.scrollTop !== at.get(target)) alignTo(target);
  };
  document.addEventListener("scroll", follow, { capture: true, passive: true });
}
