// Asks the service at URL, with KEY, through openapi-fetch, by the types that openapi-typescript made; writes the answers as JSON.
import createClient from "openapi-fetch";
import { told } from "./events";
import type { components, paths } from "./client";

declare const process: { argv: string[] };

type Json = `application/${string}`; // without it, `data` may also be the text of a stream
type Body = components["schemas"]["GenerateBody"];

async function main(url: string, key: string): Promise<void> {
  const client = createClient<paths, Json>({ baseUrl: url, headers: { "X-API-Key": key } });
  const fields: Body = { prefix: "a", num_chars: 20, temperature: 0.7, seed: 3, stop: ["zz"], n: 2, logprobs: 1 };
  const inQuery = { prefix: "分开", num_chars: 12, unknown: "skip" } as const;
  const byQuery = await client.GET("/generate", { params: { query: inQuery } });
  const ofPrefix = await client.POST("/generate", { body: { prefix: "a" } });
  const ofFields = await client.POST("/generate", { body: fields });
  const posted = await client.POST("/generate", {
    params: { query: { prefix: "b", num_chars: 9, stop: ["zz", "zy"], return_state: false } },
  });
  const both = await client.POST("/generate", {
    params: { query: { num_chars: 7, top_k: 5 } },
    body: { prefix: "a", num_chars: 7 },
  });
  const streamed = await client.POST("/generate", { body: { prefix: "a", stream: true }, parseAs: "stream" });
  const scored = await client.POST("/score", { body: { text: "ab分开" } });
  const cards = await client.GET("/models");
  const card = await client.GET("/models/{name}", { params: { path: { name: "other" } } });
  const completed = await client.POST("/v1/completions", { body: { model: "tiny", prompt: "a", max_tokens: 6, temperature: 0 } });
  const refused = await client.POST("/generate", { body: { prefix: "é" } });
  const other = createClient<paths, Json>({ baseUrl: url, headers: { Authorization: "Bearer another" } });
  const withWrongKey = await other.POST("/generate", { body: { prefix: "a" } });
  const answers = {
    by_query: byQuery.data?.text,
    of_prefix: ofPrefix.data?.text,
    of_fields: ofFields.data?.choices?.map((choice) => [choice.text, choice.seed]),
    logprobs: ofFields.data?.logprobs?.map((step) => step.logprob),
    posted_by_query: posted.data?.text,
    in_both: both.data?.text,
    streamed: await told(streamed.data ?? null),
    scored: scored.data?.total,
    models: cards.data?.models.map((each) => each.name),
    model: [card.data?.name, card.data?.digest],
    completed: completed.data?.choices.map((choice) => choice.text),
    refused: [refused.response.status, refused.error?.type, refused.error?.errors?.map((error) => error.field)],
    with_wrong_key: withWrongKey.error ? [withWrongKey.response.status, withWrongKey.error.type] : [],
  };
  console.log(JSON.stringify(answers));
}

void main(process.argv[2] ?? "", process.argv[3] ?? "");
