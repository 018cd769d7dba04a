// The prompt: a text, or the turns of a conversation. Longer than twelve lines it is folded.

import { button, formatted, h } from "./dom.js";

/** Returns the element, `unfold` (the key's way to the button) and `format`, which shows turns as formatted or plain. */
export function prompt(turns, t) {
  const single = turns.length === 1 && (turns[0].role === null || turns[0].role === "user");
  const texts = turns.map(({ text }) => h("div", { class: "said plain", dir: "auto" }, text));
  const inner = h(
    "div",
    { class: single ? "turns single" : "turns", role: "group", "aria-label": t.prompt },
    turns.map(({ role }, at) =>
      single ? texts[at] : h("div", { class: `turn ${role}` }, h("p", { class: "role" }, t.roles[role] ?? role), texts[at]),
    ),
  );
  const toggle = button(t.showAll, unfold, { class: "quiet", "aria-expanded": "false", hidden: true });
  const element = h("section", { class: "prompt", "aria-label": t.prompt }, inner, toggle);

  function unfold() {
    if (toggle.hidden) return;
    const open = element.classList.toggle("open");
    toggle.setAttribute("aria-expanded", String(open));
    toggle.textContent = open ? t.showLess : t.showAll;
    settle();
  }

  /** Is it longer than its room? A part that scrolls must be reachable by keyboard; a folded one shows its end. */
  function settle() {
    const open = element.classList.contains("open");
    const over = inner.scrollHeight > inner.clientHeight + 2;
    if (!open) toggle.hidden = !over;
    if (over) inner.setAttribute("tabindex", "0");
    else inner.removeAttribute("tabindex");
    element.classList.toggle("folded", over && !open);
    if (!open && !single) inner.scrollTop = inner.scrollHeight;
  }
  new ResizeObserver(settle).observe(inner);

  function format(trees) {
    texts.forEach((said, at) => {
      const tree = trees?.[at] ?? null;
      said.classList.toggle("plain", tree === null);
      if (tree === null) said.textContent = turns[at].text;
      else said.replaceChildren(...tree.map(formatted));
    });
    settle();
  }
  return { element, unfold, format };
}
