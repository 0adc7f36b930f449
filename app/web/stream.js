// Server-sent events out of a fetch: EventSource cannot POST. Knows the wire format, nothing of what events mean.

/** Takes a stream of text in pieces cut anywhere; gives the events that each piece completes. */
export class EventParser {
  #rest = "";
  #event = { type: "", data: [], id: "" };

  /** @returns {{type: string, data: string, id: string}[]} */
  feed(piece) {
    const events = [];
    // A carriage return at the very end may be half of CR LF: it waits for what follows.
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#event.data.length > 0) {
          events.push({ ...this.#event, type: this.#event.type || "message", data: this.#event.data.join("\n") });
        }
        this.#event = { type: "", data: [], id: this.#event.id }; // an id holds until another is sent
      } else {
        this.#field(line);
      }
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, which keeps the connection alive
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#event.type = value;
    else if (name === "data") this.#event.data.push(value);
    else if (name === "id") this.#event.id = value;
  }
}

/** The events of a response, as they arrive. */
export async function* events(response) {
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.feed(value);
    }
  } finally {
    reader.cancel().catch(() => {}); // closes the connection, so that the server frees its row
  }
}
