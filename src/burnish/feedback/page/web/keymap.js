// Which key does what: one key an action, of a fixed set, as the annotator has set them. Digits, arrows, Enter, Esc and
// Shift with a letter are the same for everybody.

import { h } from "./dom.js";
import { keepKeys, setting, storedKeys } from "./kept.js";

const USUAL = {
  next: "j",
  previous: "k",
  tie: "=",
  line: "n",
  sure1: "z",
  sure2: "x",
  sure3: "c",
  diff: "d",
  formatted: "m",
  flag: "f",
  mode: "i",
  prompt: "p",
  guidelines: "g",
  skip: "s",
  undo: "u",
  scrollTogether: "t",
  focusMode: "o",
  help: "?",
};
export const ACTIONS = Object.keys(USUAL);
export const SIGNS = [..."abcdefghijklmnopqrstuvwxyz=-.,;?"];

/** {action: key}, each key once, whatever was stored: what is not known there counts for nothing, and an action that
 * is left without a key has its usual one, or the first that is free. */
function inForce() {
  const stored = storedKeys();
  const keys = {};
  const take = (name, key) => {
    if (!(name in keys) && SIGNS.includes(key) && !Object.values(keys).includes(key)) keys[name] = key;
  };
  for (const name of ACTIONS) take(name, stored?.[name]);
  for (const name of ACTIONS) [USUAL[name], ...SIGNS].forEach((key) => take(name, key));
  return keys;
}

export const keyOf = (name) => inForce()[name];

/** What a key does, of the actions above; undefined where it does nothing. */
export function actionOf(key) {
  const keys = inForce();
  return ACTIONS.find((name) => keys[name] === key.toLowerCase());
}

/** The action has this key from now on; whichever had it takes the other's, and is returned, or null. */
export function setKey(name, key) {
  const keys = inForce();
  const other = ACTIONS.find((one) => keys[one] === key && one !== name) ?? null;
  if (other !== null) keys[other] = keys[name];
  keepKeys({ ...keys, [name]: key });
  return other;
}

export const usualKeys = () => keepKeys(null);

/** The key of an action, to be read; `showKeys` keeps it true. */
export const signOf = (name) => h("kbd", { "aria-hidden": "true", "data-does": name }, keyOf(name));

/** A button's label with the key that does the same. */
export const keyedFor = (label, name) => [h("span", {}, label), signOf(name)];

/** Every key that stands on the page is the one in force; where keys are turned off, buttons show none. */
export function showKeys() {
  document.documentElement.dataset.letterKeys = setting("letterKeys");
  for (const sign of document.querySelectorAll("[data-does]")) sign.textContent = keyOf(sign.dataset.does);
}
