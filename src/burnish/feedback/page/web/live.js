// Live collection: an annotator types a prompt, answers are written while they watch, and then they rank them.

import { persistently, post, Refused } from "./api.js";
import { button, h, keyed, letterOf } from "./dom.js";
import { keepTyped, typed } from "./kept.js";
import { places } from "./order.js";
import { prompt } from "./prompt.js";
import { uuid } from "./work.js";

const PAUSE = 300; // ms between two looks at what is written

/** `context`: {me, words(), show(element), opened(item, said), undo, lost, refused}. Whatever is shown goes by `show`, and
 * `opened` is called with the item once its answers are all there. */
export function collection(context) {
  const { me, lost } = context;
  let last = null; // the conversation that may be gone on with: {id, turns}
  let again = () => {}; // shows the same once more, in the words of another language

  /** Where a prompt is typed. `said`: what just happened. */
  function compose(said) {
    again = () => compose(said);
    const t = context.words();
    const going = me.live.turns ? last : null;
    const field = h("textarea", {
      id: "typed", rows: 5, maxlength: me.live.longest, dir: "auto", oninput: () => keepTyped(me.name, field.value),
      onkeydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing && send(),
    });
    field.value = typed(me.name) ?? "";
    const status = h("p", { class: "small", role: "status" }, said);
    const sendButton = button(keyed(t.send, "Ctrl ⏎"), send, { class: "primary ready" });
    const afresh = going && button(t.afresh, () => ((last = null), compose("")), { class: "quiet" });
    const form = h(
      "section",
      { class: "compose", "aria-label": t.typePrompt },
      h("h2", {}, h("label", { for: "typed" }, going ? t.goOn : t.typePrompt)),
      field,
      h("div", { class: "doing" }, status, afresh, button(t.undo, context.undo, { class: "quiet" }), sendButton),
    );
    context.show(h("div", { class: "item" }, going ? prompt(going.turns, t).element : null, form));
    field.focus();

    async function send() {
      const text = field.value;
      if (!text.trim()) return void (status.textContent = t.nothingTyped);
      sendButton.disabled = true;
      const body = { text, after: going?.id ?? null, key: uuid() };
      try {
        const { asked } = await persistently(() => post("/api/ask", body), lost);
        const said = { role: going ? "user" : null, text };
        await follow(asked, [...(going?.turns ?? []), said]);
      } catch (error) {
        if (!(error instanceof Refused) || error.status === 401) return context.refused(error);
        if (error.status === 404) last = null; // what was to be gone on with was taken back
        compose(error.status === 404 ? t.cannotGoOn : t.refused(error.message));
      }
    }
  }

  /** Shows what is written to the prompt `id` until it is whole. */
  async function follow(id, turns) {
    let view = writing(context.words(), turns, me.live.answers);
    again = () => {
      view = writing(context.words(), turns, me.live.answers);
      context.show(view.element);
    };
    context.show(view.element);
    for (;;) {
      let told;
      try {
        told = await persistently(() => post("/api/written", { asked: id }), lost);
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 404) return context.refused(error);
        return compose(context.words().lostPrompt); // the server was started anew; what was typed is still in the field
      }
      view.refresh(told);
      if (told.item !== null) {
        keepTyped(me.name, null);
        return context.opened(told.item, context.words().written);
      }
      if (told.trouble !== null) return compose(context.words().troubles[told.trouble]);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  return {
    compose,
    follow,
    again: () => again(),
    /** What was ranked can be gone on with: its best answer, of several the first, is what was said. */
    ranked(work) {
      const best = places(work.order.ranks)[0][0];
      const turns = work.prompt.map(({ role, text }) => ({ role: role ?? "user", text }));
      last = { id: work.id, turns: [...turns, { role: "assistant", text: work.answers[best] }] };
    },
  };
}

/** Answers while they are written, where they will stand when they are ranked. */
function writing(t, turns, count) {
  const texts = Array.from({ length: count }, (_, answer) =>
    h("div", { class: "text plain", dir: "auto", tabindex: 0, role: "group", "aria-label": t.answer(letterOf(answer)) }),
  );
  const status = h("p", { class: "small", role: "status" }, t.writing);
  const card = (text, answer) =>
    h("li", { class: "card" }, h("div", { class: "controls" }, h("span", { class: "letter", "aria-hidden": "true" }, letterOf(answer))), text);
  const element = h(
    "div",
    { class: "item writing" },
    prompt(turns, t).element,
    h(
      "section",
      { class: "answers", "aria-label": t.answers, "aria-busy": "true" },
      h("ol", { class: "cards", "data-count": count, "aria-label": t.answers }, texts.map(card)),
    ),
    h("footer", { class: "bar" }, status),
  );
  function refresh({ answers, before }) {
    answers.forEach((text, at) => text !== texts[at].textContent && (texts[at].textContent = text));
    const said = before > 0 ? t.waiting(before) : t.writing;
    if (status.textContent !== said) status.textContent = said;
  }
  return { element, refresh };
}
