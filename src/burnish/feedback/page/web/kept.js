// What the browser keeps: settings, the draft of each open item, and a submission whose receipt has not come yet.
// A browser may forbid all of it; then the server's draft is what is left.

const SETTINGS = {
  language: ["auto", "en", "zh"],
  theme: ["auto", "light", "dark"],
  letterKeys: ["on", "off"],
  mode: ["place", "insertion"],
  formatted: ["off", "on"],
  focusMode: ["off", "on"],
  scrollTogether: ["off", "on"],
};

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // full or forbidden: the server has the draft too
  }
}

/** A setting has one of the values listed above, whatever was stored. */
export function setting(name) {
  const value = read(`burnish.${name}`);
  return SETTINGS[name].includes(value) ? value : SETTINGS[name][0];
}

export function keepSetting(name, value) {
  if (SETTINGS[name].includes(value)) write(`burnish.${name}`, value);
}

/** Keys as they were stored, which may be anything; null for the usual ones. */
export const storedKeys = () => read("burnish.keys");
export const keepKeys = (keys) => write("burnish.keys", keys);

export const localDraft = (assignment) => read(`burnish.draft.${assignment}`);
export const keepDraft = (assignment, draft) => write(`burnish.draft.${assignment}`, draft);
export const dropDraft = (assignment) => write(`burnish.draft.${assignment}`, null);

/** A prompt that is being typed. */
export const typed = (who) => read(`burnish.typed.${who}`);
export const keepTyped = (who, text) => write(`burnish.typed.${who}`, text);

/** Under the annotator's name: two people may share a browser, and neither may send the other's work. What a lead
 * decides goes elsewhere than what they rank. */
const place = (who, deciding) => `burnish.${deciding ? "decision" : "pending"}.${who}`;
export const pending = (who, deciding) => read(place(who, deciding));
export const keepPending = (who, deciding, submission) => write(place(who, deciding), submission);
