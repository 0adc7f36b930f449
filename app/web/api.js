// The server's routes as functions. Knows HTTP and the shape of errors, nothing of the page.

import { events } from "./stream.js";

// The page may be at a proxy's prefix with or without a slash behind it; its files are always below `web/`.
export const ROOT = new URL("../", import.meta.url);

/** An answer that is not 2xx. status 0: no answer at all. */
export class Problem extends Error {
  constructor(status, detail, errors = [], retryAfterS = null) {
    super(detail);
    this.status = status;
    this.errors = errors;
    this.retryAfterS = retryAfterS;
  }

  /** The first complaint about a field, if there is one. */
  about(field) {
    return this.errors.find((error) => error.field === field);
  }

  /** Characters that the model has never seen. */
  get unknown() {
    return this.errors.flatMap((error) => error.unknown ?? []).map((item) => item.character);
  }
}

export async function models() {
  const response = await request("models", { headers: { Accept: "application/json" } });
  return (await response.json()).models;
}

/** The OpenAPI document. */
export async function description() {
  const response = await request("openapi.json", { headers: { Accept: "application/json" } });
  return response.json();
}

/**
 * The events of POST /generate: {type, data, id}, with data already read from JSON. Ends with `done`.
 * Throws Problem, also where the connection breaks; an AbortError where `signal` says stop.
 */
export async function* generate(body, { signal, lastEventId = "" }) {
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
  if (lastEventId) headers["Last-Event-ID"] = lastEventId;
  const response = await request("generate", { method: "POST", headers, body: JSON.stringify(body), signal });
  try {
    for await (const event of events(response)) {
      const data = JSON.parse(event.data);
      if (event.type === "error") throw new Problem(data.status ?? 500, data.detail ?? "", data.errors);
      yield { ...event, data };
      if (event.type === "done") return;
    }
  } catch (error) {
    throw error instanceof Problem || error.name === "AbortError" ? error : new Problem(0, error.message);
  }
  throw new Problem(0, "the stream ended before the text did");
}

async function request(address, options) {
  let response;
  try {
    response = await fetch(new URL(address, ROOT), { cache: "no-store", ...options });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(0, error.message);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const retryAfterS = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  throw new Problem(response.status, body.detail ?? "", body.errors, Number.isNaN(retryAfterS) ? null : retryAfterS);
}
