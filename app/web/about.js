// The panel about the chosen model: its training picture and its figures. Anything in the record may be missing.

import { picture } from "./picture.js";

export class About {
  #place = document.querySelector("#about");
  #words;

  constructor(words) {
    this.#words = words;
  }

  /** model: an item of GET /models, or null where there is none. */
  show(model) {
    const w = this.#words;
    if (model === null) return this.#place.replaceChildren(paragraph("note", w.noModel));
    const parts = [];
    if (model.problem) parts.push(paragraph("note", model.ready ? w.olderServes(model.problem) : w.cannotServe(model.problem)));
    parts.push(this.#picture(model.training ?? {}), this.#figures(model));
    return this.#place.replaceChildren(...parts);
  }

  #picture(training) {
    const w = this.#words;
    const history = Array.isArray(training.history) ? training.history : [];
    const points = (key) => history.filter((e) => e[key] > 0).map((e) => [e.epoch, e[key]]);
    const series = [
      { className: "train", name: w.training, points: points("train_perplexity") },
      { className: "validation", name: w.validation, points: points("validation_perplexity") },
    ];
    const ends = series.filter((s) => s.points.length).map((s) => `${s.name} ${figure(s.points.at(-1)[1])}`);
    const svg = picture(series, w.pictureOf(ends.join(", ")), w.epoch);
    if (svg === null) return paragraph("note", w.noPicture);
    const box = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.append(w.perplexity, ...series.filter((s) => s.points.length > 1).map((s) => key(s)));
    box.append(caption, svg);
    return box;
  }

  #figures({ config = {}, training: record = null, device, engine, digest }) {
    const w = this.#words;
    const training = record ?? {};
    const rows = [
      [w.cell, [config.cell?.toUpperCase(), config.num_layers > 1 && w.layers(config.num_layers)].filter(Boolean).join(" · ")],
      [w.hidden, config.hidden_dim?.toLocaleString()],
      [w.vocabulary, config.vocab_size && w.characterCount(config.vocab_size)],
      [w.corpus, typeof training.corpus === "string" ? training.corpus : training.corpus?.name],
      [w.epochs, (training.epochs ?? training.history?.length)?.toLocaleString()],
      [w.trainPerplexity, figure(training.train_perplexity)],
      [w.validationPerplexity, figure(training.validation_perplexity)],
      [w.trainedIn, typeof training.seconds === "number" ? w.duration(training.seconds) : null],
      [w.runsOn, [engine, device].filter(Boolean).join(" · ")],
      [w.digest, digest?.slice(0, 12)],
    ];
    const list = document.createElement("dl");
    for (const [term, value] of rows) {
      if (value === undefined || value === null || value === "") continue;
      const row = document.createElement("div");
      row.append(node("dt", term), node("dd", String(value)));
      list.append(row);
    }
    return list;
  }
}

function figure(value) {
  return typeof value === "number" ? value.toLocaleString(undefined, { maximumSignificantDigits: 3 }) : null;
}

function key({ className, name }) {
  const made = node("span", name);
  made.className = `key ${className}`;
  return made;
}

function paragraph(className, text) {
  const made = node("p", text);
  made.className = className;
  return made;
}

function node(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
