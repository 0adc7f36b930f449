// Wires the parts of the page together. What each part does stands in its own file.

import { About } from "./about.js";
import { Alternatives } from "./alternatives.js";
import { models, Problem } from "./api.js";
import { Box } from "./box.js";
import { Column } from "./column.js";
import { chooseWords, translate } from "./i18n.js";
import { begin, branch, EMPTY, textOf } from "./passage.js";
import { explain, mayPass } from "./problems.js";
import { Settings } from "./settings.js";
import { asModelSees } from "./text.js";
import { writeOn } from "./writing.js";

const words = chooseWords();
translate(words);

const at = (id) => document.getElementById(id);
const settings = new Settings();
const about = new About(words);
const box = new Box(words, { submit: () => at("form").requestSubmit() });
const column = new Column(words, {
  attend: (index, element) => alternatives.show(index, passage.characters[index], element),
  leave: () => alternatives.hideSoon(),
  open: () => alternatives.enter(),
});
const alternatives = new Alternatives(words, {
  choose: (index, character) => write(branch(passage, index, character), { focus: index }),
  back: (index) => column.focus(index),
});

let known = []; // the models, as GET /models lists them
let passage = EMPTY; // what the column shows
let earlier = []; // passages before a branch or a new beginning, for undo
let running = null; // AbortController of the request under way
let retry = null; // what `Try again` does

const chosen = () => known.find(({ name }) => name === at("model").value) ?? null;

async function loadModels() {
  try {
    known = await models();
  } catch (error) {
    return fail(error, loadModels);
  }
  const before = at("model").value;
  at("model").replaceChildren(...known.map(({ name, ready }) => new Option(ready ? name : `${name} (—)`, name)));
  const preferred = known.find((m) => m.name === before) ?? known.find((m) => m.default) ?? known[0];
  if (preferred) at("model").value = preferred.name;
  return chooseModel();
}

function chooseModel() {
  box.rules = chosen()?.config ?? {};
  about.show(chosen());
}

/** Writes on from a passage, which takes the place of the one shown. */
async function write(from, { focus = null } = {}) {
  if (from !== passage && passage !== EMPTY) earlier.push(passage);
  const fields = { ...settings.fields(), model: chosen()?.name ?? null };
  await run(from, (options) => writeOn(from, fields, options), focus);
}

/** Follows one request, `ask`, from a passage to its end, whatever end that is. */
async function run(from, ask, focus = null) {
  running?.abort();
  const own = new AbortController();
  running = own;
  const startLength = from.characters.length;
  passage = from;
  column.show(passage);
  if (focus !== null) column.focus(focus);
  clearProblem();
  say(words.writing);
  settle();
  const begun = performance.now();
  const show = (grown, added) => {
    if (running !== own) return;
    passage = grown;
    column.grow(passage, added);
  };
  try {
    const { passage: whole, answer } = await ask({ signal: own.signal, show });
    if (running !== own) return;
    if (whole.given !== passage.given) column.show(whole);
    passage = whole;
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    say(words.wrote(passage.characters.length - Math.min(startLength, passage.characters.length), seconds, answer.seed));
  } catch (error) {
    if (running !== own) return;
    if (error.name === "AbortError") say(words.stopped(passage.characters.length - startLength));
    else fail(error, () => (error.resume ? run(passage, error.resume) : run(from, ask)));
  }
  running = null;
  settle();
}

/** Brings the buttons in line with what is going on. */
function settle() {
  const busy = running !== null;
  const empty = passage.characters.length === 0;
  column.busy = busy;
  at("write").textContent = busy ? words.stop : words.write;
  at("write").classList.toggle("stopping", busy);
  at("hint").hidden = busy || textOf(passage) !== "";
  for (const id of ["on", "copy", "scale"]) at(id).hidden = empty;
  at("on").setAttribute("aria-disabled", String(busy));
  at("back").hidden = earlier.length === 0;
}

function say(text) {
  at("status").textContent = text;
}

function fail(error, again) {
  if (!(error instanceof Problem)) throw error;
  say("");
  if (error.unknown.length > 0) return box.mark(error.unknown), box.focus();
  retry = again;
  at("problem-text").textContent = explain(error, words);
  at("again").hidden = !mayPass(error);
  at("problem").hidden = false;
  if (error.status === 404) loadModels();
  return undefined;
}

function clearProblem() {
  at("problem").hidden = true;
  retry = null;
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else if (settings.areValid()) write(begin(asModelSees(box.text, chosen()?.config)));
});

at("on").addEventListener("click", () => {
  if (!running && settings.areValid()) write(passage);
});

at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(textOf(passage));
    say(words.copied);
  } catch {
    say(words.cannotCopy);
  }
});

at("back").addEventListener("click", () => {
  running?.abort();
  running = null;
  passage = earlier.pop();
  column.show(passage);
  say(words.undone);
  settle();
});

at("again").addEventListener("click", () => {
  const again = retry;
  clearProblem();
  again?.();
});

at("model").addEventListener("change", chooseModel);

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) running.abort();
});

loadModels();
