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
const box = new Box(words, { submit: () => at("form").requestSubmit(), changed: () => settle() });
const column = new Column(words, {
  attend: (index, element) => alternatives.show(index, passage.characters[index], element),
  leave: () => alternatives.hideSoon(),
  open: (index, element) => {
    alternatives.show(index, passage.characters[index], element);
    alternatives.enter();
  },
});
const alternatives = new Alternatives(words, {
  choose: (index, character) => write(branch(passage, index, character), { focus: index }),
  back: (index) => column.focus(index, { quiet: true }),
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
  at("model").replaceChildren(...known.map(({ name, ready }) => new Option(ready ? name : words.notReadyModel(name), name)));
  const preferred = known.find((m) => m.name === before) ?? known.find((m) => m.default) ?? known[0];
  if (preferred) at("model").value = preferred.name;
  return chooseModel();
}

function chooseModel() {
  box.rules = chosen()?.config ?? {};
  about.show(chosen());
}

/** Writes on from a passage, which takes the place of the one shown once there is something to show. */
async function write(from, { focus = null, another = false } = {}) {
  const before = passage;
  const fields = { ...settings.fields({ another }), model: chosen()?.name ?? null };
  const replaces = from !== before && before !== EMPTY;
  if (replaces) earlier.push(before);
  const error = await follow(from, (options) => writeOn(from, fields, options), focus);
  if (error && passage === from && from !== before) {
    // Nothing was written: what was there stays.
    passage = before;
    if (replaces) earlier.pop();
    column.show(passage);
  }
  settle();
  if (error) fail(error, error.resume ? () => goBackTo(error.resume) : () => write(from, { another }));
}

/** Takes up a stream that broke. */
async function goBackTo(resume) {
  const error = await follow(passage, resume);
  settle();
  if (error) fail(error, () => goBackTo(error.resume ?? resume));
}

/** Follows one request, `ask`, from a passage to its end; returns the Problem where that was one. */
async function follow(from, ask, focus = null) {
  running?.abort();
  const own = new AbortController();
  running = own;
  passage = from;
  column.show(passage);
  if (focus !== null) column.focus(focus, { quiet: true });
  clearProblem();
  say(words.writing);
  settle();
  column.reveal();
  const begun = performance.now();
  const show = (grown) => {
    if (running !== own) return;
    passage = grown;
    column.grow(passage);
  };
  const count = () => passage.characters.length - from.characters.length;
  try {
    const { passage: whole, answer } = await ask({ signal: own.signal, show });
    if (running !== own) return null;
    say(words.wrote(count(), performance.now() - begun, answer.seed));
    if (whole.given !== passage.given) column.show(whole);
    passage = whole;
  } catch (error) {
    if (running !== own) return null;
    if (error.name !== "AbortError") return error;
    say(words.stopped(count()));
  } finally {
    if (running === own) running = null;
  }
  return null;
}

/** Brings the buttons in line with what is going on. */
function settle() {
  const busy = running !== null;
  const empty = passage.characters.length === 0;
  column.busy = busy;
  at("write").textContent = busy ? words.stop : words.write;
  at("write").classList.toggle("stopping", busy);
  at("surprise").hidden = busy || box.text !== "";
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
  if (error.unknown.length > 0 && box.mark(error.unknown)) return box.focus();
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

at("surprise").addEventListener("click", () => {
  settings.sample(); // the likeliest text would be the same each time
  if (settings.areValid()) write(begin(""), { another: true });
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
  if (event.key === "Escape" && !event.defaultPrevented) running?.abort();
});

settle(); // a browser may have kept what was typed
loadModels();
