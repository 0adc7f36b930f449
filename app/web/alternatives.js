// The small panel beside a character: what else it might have been, and how probable each was.
// Knows nothing of requests: choosing one calls `choose(index, character)`.

import { percent, sign, spoken } from "./text.js";

const LINGER_MS = 180; // time to move the pointer from the character into the panel
const GAP_PX = 8;

export class Alternatives {
  #panel = document.querySelector("#alternatives");
  #words;
  #choose;
  #back;
  #index = -1;
  #anchor = null;
  #timer = 0;

  /** back(index) gives the focus back to a character. */
  constructor(words, { choose, back }) {
    this.#words = words;
    this.#choose = choose;
    this.#back = back;
    this.#panel.addEventListener("pointerenter", () => clearTimeout(this.#timer));
    this.#panel.addEventListener("pointerleave", () => this.hideSoon());
    this.#panel.addEventListener("focusout", () => this.hideSoon());
    this.#panel.addEventListener("focusin", () => clearTimeout(this.#timer));
    this.#panel.addEventListener("click", ({ target }) => this.#take(target.closest("button")));
    this.#panel.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#panel.hidden) return;
      event.preventDefault();
      this.hide();
    });
    addEventListener("resize", () => this.hide());
  }

  show(index, { character, logprob, alternatives }, anchor) {
    clearTimeout(this.#timer);
    if (logprob === null) return this.hide();
    if (this.#panel.contains(document.activeElement)) return undefined; // someone is choosing
    this.#anchor?.classList.remove("looked-at");
    [this.#index, this.#anchor] = [index, anchor];
    anchor.classList.add("looked-at");
    // The likeliest, and the one that was written where it is not among them.
    const rows = alternatives.some((a) => a.character === character) ? alternatives : [...alternatives, { character, logprob }];
    this.#panel.replaceChildren(...rows.map((row) => this.#row(row, row.character === character)));
    this.#panel.setAttribute("aria-label", this.#words.instead(spoken(character, this.#words)));
    this.#panel.hidden = false;
    this.#place(anchor);
    return undefined;
  }

  /** Moves the focus into the panel. */
  enter() {
    this.#panel.querySelector("button")?.focus();
  }

  hide() {
    clearTimeout(this.#timer);
    if (this.#panel.contains(document.activeElement)) this.#back(this.#index);
    this.#anchor?.classList.remove("looked-at");
    this.#panel.hidden = true;
  }

  hideSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const focused = document.activeElement;
      if (focused !== this.#anchor && !this.#panel.contains(focused) && !this.#panel.matches(":hover")) this.hide();
    }, LINGER_MS);
  }

  #row({ character, logprob }, isWritten) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.character = character;
    const chance = percent(logprob);
    button.setAttribute("aria-label", this.#words.continueWith(spoken(character, this.#words), chance));
    if (isWritten) button.setAttribute("aria-current", "true");
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.setProperty("--share", String(Math.exp(logprob))); // through the object model: the policy forbids markup
    button.append(span("sign", sign(character)), bar, span("chance", chance));
    return button;
  }

  #take(button) {
    if (!button) return;
    const index = this.#index;
    this.hide();
    this.#choose(index, button.dataset.character);
  }

  #key(event) {
    const buttons = [...this.#panel.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined) return;
    buttons.at(to % buttons.length).focus();
    event.preventDefault();
  }

  #place(anchor) {
    const at = anchor.getClientRects()[0] ?? anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.#panel;
    const room = document.documentElement.clientWidth;
    const below = at.bottom + GAP_PX + height <= innerHeight || at.top < height + GAP_PX;
    const left = Math.max(GAP_PX, Math.min(at.left - GAP_PX, room - width - GAP_PX));
    this.#panel.style.left = `${left + scrollX}px`;
    this.#panel.style.top = `${(below ? at.bottom + GAP_PX : at.top - GAP_PX - height) + scrollY}px`;
  }
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}
