// The options of a request, read from the form. Knows the fields of POST /generate, not what becomes of them.

export class Settings {
  #form = document.querySelector("#form");

  constructor() {
    this.#form.addEventListener("change", () => this.#adapt());
    this.#adapt();
  }

  /** False, with the browser's own explanation at the field, where something is out of bounds. */
  areValid() {
    return this.#form.reportValidity();
  }

  /** From now on characters are drawn, for the eye too. */
  sample() {
    this.#form.elements.mode.value = "sampled";
    this.#adapt();
  }

  /** The fields to send, without a seed where none is set, or where the text shall be `another` each time. */
  fields({ another = false } = {}) {
    const fields = { num_chars: this.#number("num_chars") };
    if (this.#sampled) {
      fields.temperature = this.#number("temperature");
      fields.top_k = this.#number("top_k");
      fields.top_p = this.#number("top_p") ?? 1;
      if (!another && this.#number("seed") !== null) fields.seed = this.#number("seed");
    }
    return fields;
  }

  get #sampled() {
    return this.#form.elements.mode.value === "sampled";
  }

  #number(name) {
    const { value } = this.#form.elements[name];
    return value === "" ? null : Number(value);
  }

  /** What only sampling uses is there only while sampling, for the eye and for the keyboard. */
  #adapt() {
    const place = document.querySelector("#sampling");
    place.hidden = !this.#sampled;
    for (const input of place.querySelectorAll("input")) input.disabled = !this.#sampled; // else it may be invalid unseen
  }
}
