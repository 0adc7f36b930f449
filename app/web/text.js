// Text as the model sees it, and characters as people read them. Characters are code points everywhere.

/** The text under a model's rules, as model/corpus.py applies them. The server has the last word. */
export function asModelSees(text, { lowercase = false, newlines = "keep" } = {}) {
  let seen = text.normalize("NFC");
  if (lowercase) seen = seen.toLowerCase().normalize("NFC");
  return newlines === "space" ? seen.replace(/[\r\n]/g, " ") : seen.replace(/\r\n?/g, "\n");
}

/**
 * The text as typed, cut into pieces {text, unknown}: those that hold a character of the set are unknown.
 * A letter and the marks on it are judged together, since normalising may join them.
 */
export function pieces(text, unknown, rules) {
  const cut = [];
  for (const cluster of text.match(/\P{M}?\p{M}+|[^]/gu) ?? []) {
    const isUnknown = Array.from(asModelSees(cluster, rules)).some((character) => unknown.has(character));
    const last = cut.at(-1);
    if (last?.unknown === isUnknown) last.text += cluster;
    else cut.push({ text: cluster, unknown: isUnknown });
  }
  return cut;
}

/** A character as it can be shown alone: whitespace by a sign, what does not print by its code point. */
export function sign(character) {
  if (character === " ") return "␣";
  if (character === "\n") return "↵";
  if (/^[\p{C}\p{Z}]$/u.test(character)) return codePoint(character);
  return /^\p{M}$/u.test(character) ? `◌${character}` : character;
}

/** A character as it can be spoken. */
export function spoken(character, words) {
  if (character === " ") return words.space;
  if (character === "\n") return words.newline;
  return sign(character);
}

/** A log-probability in nats as a percentage: two digits where they tell something. */
export function percent(logprob) {
  const value = 100 * Math.exp(logprob);
  if (value < 0.1) return "<0.1%";
  if (value > 99.4 && value < 100) return ">99%";
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)}%`;
}

function codePoint(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}
