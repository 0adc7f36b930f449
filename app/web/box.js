// The box for the beginning of a text. It marks characters that the model has never seen and offers to take them out.
//
// A textarea cannot mark its text; a mirror of the same shape lies under it, and also gives it its height.

import { asModelSees, pieces, sign } from "./text.js";

export class Box {
  #area = document.querySelector("#prefix");
  #mirror = document.querySelector("#mirror");
  #note = document.querySelector("#unknown");
  #words;
  #unknown = new Set();
  #rules = {};
  #changed;

  /** submit: called for Ctrl+Enter and ⌘+Enter. changed: called when there is another text. */
  constructor(words, { submit, changed }) {
    this.#words = words;
    this.#changed = changed;
    this.#area.addEventListener("input", () => {
      this.#draw();
      changed();
    });
    this.#area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) submit();
    });
    this.#draw();
  }

  get text() {
    return this.#area.value;
  }

  focus() {
    this.#area.focus();
  }

  /** Another model reads by other rules and knows other characters. */
  set rules(rules) {
    this.#rules = rules;
    this.mark([]);
  }

  /** Marks these characters, as the model sees them, wherever they stand; false where they do not. */
  mark(characters) {
    this.#unknown = new Set(characters);
    return this.#draw();
  }

  #draw() {
    const cut = pieces(this.text, this.#unknown, this.#rules);
    // A line of its own for what a trailing newline begins.
    this.#mirror.replaceChildren(...cut.map((piece) => (piece.unknown ? mark(piece.text) : piece.text)), "\u200b");
    const found = cut.filter((piece) => piece.unknown);
    this.#area.setAttribute("aria-invalid", String(found.length > 0));
    const seen = new Set(found.flatMap((piece) => Array.from(asModelSees(piece.text, this.#rules))));
    this.#explain([...this.#unknown].filter((character) => seen.has(character)));
    return found.length > 0;
  }

  #explain(characters) {
    if (characters.length === 0) return this.#note.replaceChildren();
    const text = document.createElement("p");
    const shown = characters.slice(0, 12).map(sign).join("  ") + (characters.length > 12 ? " …" : "");
    text.textContent = this.#words.neverSeen(characters.length, shown);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = this.#words.takeOut;
    remove.addEventListener("click", () => this.#takeOut());
    return this.#note.replaceChildren(text, remove);
  }

  #takeOut() {
    const cut = pieces(this.text, this.#unknown, this.#rules);
    this.#area.value = cut.filter((piece) => !piece.unknown).map((piece) => piece.text).join("");
    this.mark([]);
    this.#changed();
    this.focus();
  }
}

function mark(text) {
  const element = document.createElement("mark");
  element.textContent = text;
  return element;
}
