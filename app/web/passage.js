// The text on the page as data: what was given, what was written, where to go on. Never changed, only made anew.
//
// given: text, as far as no probabilities are known; characters: [{character, logprob, alternatives}];
// token: {state, model} of the server's where the end is known to it, else null.

export const EMPTY = Object.freeze({ given: "", characters: [], token: null });

export function begin(given) {
  return { given, characters: [], token: null };
}

export function textOf(passage) {
  return passage.given + passage.characters.map((c) => c.character).join("");
}

export function append(passage, characters) {
  return { ...passage, characters: passage.characters.concat(characters), token: null };
}

/** Up to a character, with one of its alternatives in its place. What was known of it stays known. */
export function branch(passage, index, character) {
  const old = passage.characters[index];
  const chosen = old.alternatives.find((a) => a.character === character) ?? old;
  return {
    given: passage.given,
    characters: [...passage.characters.slice(0, index), { ...old, character, logprob: chosen.logprob }],
    token: null,
  };
}

/** The characters of a `chunk` event, with their probabilities where it has them. */
export function charactersOf({ text, logprobs }) {
  return logprobs ?? Array.from(text, (character) => ({ character, logprob: null, alternatives: [] }));
}
