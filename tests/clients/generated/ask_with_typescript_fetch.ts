// Asks the service at URL, with KEY, through what openapi-generator made for fetch; writes the answers as JSON.
import { told } from "./events";
import {
  Configuration,
  GenerateApi,
  type GenerateBody,
  ModelsApi,
  OnUnknown,
  OpenaiApi,
  type Problem,
  ProblemFromJSON,
  ResponseError,
  ScoreApi,
} from "./client";

declare const process: { argv: string[] };

async function refused(api: GenerateApi, generateBody: GenerateBody): Promise<Problem> {
  try {
    await api.generate({ generateBody });
  } catch (error) {
    if (error instanceof ResponseError) return ProblemFromJSON(await error.response.json());
    throw error;
  }
  throw new Error("not refused");
}

async function withWrongKey(url: string): Promise<unknown[]> {
  const api = new GenerateApi(new Configuration({ basePath: url, accessToken: "another" }));
  try {
    await api.generate({ generateBody: { prefix: "a" } });
  } catch (error) {
    if (error instanceof ResponseError) return [error.response.status, ProblemFromJSON(await error.response.json()).type];
    throw error;
  }
  return [];
}

async function main(url: string, key: string): Promise<void> {
  const configuration = new Configuration({ basePath: url, apiKey: key });
  const api = new GenerateApi(configuration);
  const models = new ModelsApi(configuration);
  const fields = { prefix: "a", numChars: 20, temperature: 0.7, seed: 3, stop: ["zz"], n: 2, logprobs: 1 };
  const byQuery = await api.generateByQuery({ prefix: "分开", numChars: 12, unknown: OnUnknown.Skip });
  const ofPrefix = await api.generate({ generateBody: { prefix: "a" } });
  const ofFields = await api.generate({ generateBody: fields });
  const posted = await api.generate({ prefix: "b", numChars: 9, stop: ["zz", "zy"], returnState: false });
  const both = await api.generate({ generateBody: { prefix: "a", numChars: 7 }, numChars: 7, topK: 5 });
  const streamed = await api.generateRaw({ generateBody: { prefix: "a", stream: true } });
  const scored = await new ScoreApi(configuration).score({ scoreBody: { text: "ab分开" } });
  const cards = await models.listModels();
  const card = await models.getModel({ name: "other" });
  const completionBody = { model: "tiny", prompt: "a", maxTokens: 6, temperature: 0 };
  const completed = await new OpenaiApi(configuration).createCompletion({ completionBody });
  const problem = await refused(api, { prefix: "é" });
  const answers = {
    by_query: byQuery?.text,
    of_prefix: ofPrefix?.text,
    of_fields: ofFields?.choices?.map((choice) => [choice.text, choice.seed]),
    logprobs: ofFields?.logprobs?.map((step) => step.logprob),
    posted_by_query: posted?.text,
    in_both: both?.text,
    streamed: await told(streamed.raw.body),
    scored: scored.total,
    models: cards.models.map((each) => each.name),
    model: [card.name, card.digest],
    completed: completed.choices.map((choice) => choice.text),
    refused: [problem.status, problem.type, problem.errors?.map((error) => error.field)],
    with_wrong_key: await withWrongKey(url),
  };
  console.log(JSON.stringify(answers));
}

void main(process.argv[2] ?? "", process.argv[3] ?? "");
