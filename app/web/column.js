// The column of text: one element per written character, tinted by its probability, with a focus that walks.
// Knows nothing of requests or of what happens to a character that is chosen.

import { percent, spoken } from "./text.js";

// Upper bounds of the probabilities of tints 5 … 1; above the last a character was expected: no tint.
const TINTS = [0.05, 0.15, 0.3, 0.5, 0.8];

export class Column {
  #given = document.querySelector("#given");
  #written = document.querySelector("#written");
  #plain = document.querySelector("#plain");
  #caret = document.querySelector("#caret");
  #words;
  #quiet = false;
  #passage = { given: "", characters: [] };
  #shown = 0; // how many of its characters have an element
  #frame = 0;

  /** on: {attend(index, element), leave(), open(index, element)}: looked at, no longer, and chosen with the keyboard. */
  constructor(words, on) {
    this.#words = words;
    this.#written.addEventListener("keydown", (event) => this.#key(event, on));
    this.#written.addEventListener("focusin", ({ target }) => this.#attend(target, on));
    this.#written.addEventListener("pointerover", ({ target }) => this.#attend(target, on));
    this.#written.addEventListener("focusout", () => on.leave());
    this.#written.addEventListener("pointerleave", () => on.leave());
  }

  /** Shows a passage from scratch. */
  show(passage) {
    this.#given.textContent = passage.given;
    this.#written.replaceChildren();
    this.#passage = passage;
    this.#shown = 0;
    this.#draw();
  }

  /** Shows a passage that has grown at its end, with the next frame, and keeps its end in sight if it was. */
  grow(passage) {
    this.#passage = passage;
    this.#frame ||= requestAnimationFrame(() => {
      const followed = this.#caret.getBoundingClientRect().bottom <= innerHeight + 1;
      this.#draw();
      if (followed) this.reveal();
    });
  }

  /** Brings the end into sight. */
  reveal() {
    this.#caret.scrollIntoView({ block: "nearest" });
  }

  set busy(busy) {
    if (!busy) this.#draw();
    this.#caret.hidden = !busy;
    this.#written.setAttribute("aria-busy", String(busy));
    if (!busy) this.#plain.textContent = this.#passage.given + this.#passage.characters.map((c) => c.character).join("");
  }

  /** Moves the focus to a character. quiet: without asking for its alternatives. */
  focus(index, { quiet = false } = {}) {
    const next = this.#written.children[index];
    if (!next) return;
    const { character, logprob } = this.#passage.characters[index];
    for (const old of this.#written.querySelectorAll('[tabindex="0"]')) old.tabIndex = -1;
    next.tabIndex = 0;
    const chance = logprob === null ? "" : `, ${percent(logprob)}`;
    next.setAttribute("aria-label", spoken(character, this.#words) + chance);
    this.#quiet = quiet;
    next.focus();
    this.#quiet = false;
  }

  /** Elements for the characters that have none yet. */
  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const fragment = document.createDocumentFragment();
    for (const { character, logprob } of this.#passage.characters.slice(this.#shown)) {
      const element = document.createElement("span");
      element.setAttribute("role", "option");
      element.className = `t${tint(logprob)}${character === "\n" ? " newline" : ""}`;
      element.tabIndex = -1;
      element.textContent = character;
      fragment.append(element);
    }
    this.#written.append(fragment);
    this.#shown = this.#passage.characters.length;
    const first = this.#written.firstElementChild;
    this.#written.hidden = !first; // a list without options is none
    if (first && !this.#written.querySelector('[tabindex="0"]')) first.tabIndex = 0;
  }

  #attend(target, on) {
    const index = this.#indexOf(target);
    if (index >= 0 && !this.#quiet) on.attend(index, target);
  }

  #indexOf(element) {
    return element.parentElement === this.#written ? Array.prototype.indexOf.call(this.#written.children, element) : -1;
  }

  #key(event, on) {
    const at = this.#indexOf(event.target);
    if (at < 0 || event.altKey || event.metaKey) return;
    const last = this.#written.children.length - 1;
    const backwards = getComputedStyle(this.#written).direction === "rtl";
    const moves = {
      ArrowRight: () => at + (backwards ? -1 : 1),
      ArrowLeft: () => at - (backwards ? -1 : 1),
      ArrowDown: () => this.#vertical(at, 1),
      ArrowUp: () => this.#vertical(at, -1),
      Home: () => 0,
      End: () => last,
    };
    if (event.key in moves) this.focus(Math.min(Math.max(moves[event.key](), 0), last));
    else if (event.key === "Enter" || event.key === " ") on.open(at, event.target);
    else return;
    event.preventDefault();
  }

  /** The character nearest in the line below (step 1) or above (−1). */
  #vertical(at, step) {
    const { children } = this.#written;
    const from = children[at].getBoundingClientRect();
    let best = at;
    let bestDistance = Infinity;
    let line = null;
    for (let index = at + step; children[index]; index += step) {
      const rect = children[index].getBoundingClientRect();
      if (Math.abs(rect.top - from.top) < from.height / 2) continue;
      line ??= rect.top;
      if (Math.abs(rect.top - line) > from.height / 2) break;
      const distance = Math.abs(rect.left - from.left);
      if (distance < bestDistance) [best, bestDistance] = [index, distance];
    }
    return best;
  }
}

function tint(logprob) {
  if (logprob === null) return 0;
  const at = TINTS.findIndex((bound) => Math.exp(logprob) < bound);
  return at < 0 ? 0 : TINTS.length - at;
}
