// Chooses the language by the browser's preferences and puts the words into the page.

import { en } from "./words_en.js";
import { zh } from "./words_zh.js";

const LANGUAGES = { en, zh };

/** The words of the first language the reader prefers that we have; English where there is none. */
export function chooseWords(preferred = navigator.languages) {
  const codes = preferred.map((tag) => tag.toLowerCase().split("-")[0]);
  return LANGUAGES[codes.find((code) => code in LANGUAGES) ?? "en"];
}

/** Fills the elements that name a word: as their text, their placeholder, their label. */
export function translate(words) {
  document.documentElement.lang = words.lang;
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = words[element.dataset.words];
  for (const element of document.querySelectorAll("[data-words-placeholder]")) {
    element.placeholder = words[element.dataset.wordsPlaceholder];
  }
  for (const element of document.querySelectorAll("[data-words-label]")) {
    element.setAttribute("aria-label", words[element.dataset.wordsLabel]);
  }
}
