// Server-sent events, for what the generators leave to their users.

export interface Told {
  names: string[];
  last: string;
  chunks: string;
  text: string | undefined;
}

/** The names of the events, the text of the chunks and that of the last event. */
export async function told(stream: ReadableStream<Uint8Array> | null): Promise<Told> {
  const found: Told = { names: [], last: "", chunks: "", text: undefined };
  for (const line of (await new Response(stream).text()).split("\n")) {
    const [, field, value] = /^(event|data): (.*)$/.exec(line) ?? [];
    if (field === "event" && value !== undefined) {
      found.last = value;
      if (!found.names.includes(value)) found.names.push(value);
    } else if (field === "data" && value !== undefined) {
      const data = JSON.parse(value) as { text: string };
      if (found.last === "chunk") found.chunks += data.text;
      else found.text = data.text;
    }
  }
  found.names.sort();
  return found;
}
