// Asks the server to write on, and knows how to come back: from a token, from the whole text, from a broken stream.
// Knows nothing of the page.

import { generate, Problem } from "./api.js";
import { append, begin, charactersOf, textOf } from "./passage.js";

const ALTERNATIVES = 5;
const SEEDS = 2 ** 32;

/** A stream that broke. `resume(options)` fetches the rest. */
export class Broken extends Problem {
  constructor(problem, resume) {
    super(problem.status, problem.message, problem.errors, problem.retryAfterS);
    this.resume = resume;
  }
}

/**
 * Writes on from the end of a passage; `show(passage)` is called for every piece that arrives.
 * Returns {passage, answer}. Throws Problem before the first character, Broken after it, AbortError on a stop.
 */
export async function writeOn(passage, fields, { signal, show }) {
  const common = { ...fields, stream: true, logprobs: ALTERNATIVES, return_state: true };
  // A token knows its model only.
  const token = passage.token?.model === fields.model ? passage.token.state : null;
  if (token !== null) {
    try {
      return await follow(passage, { ...common, state: token }, "", fields.num_chars, { signal, show });
    } catch (error) {
      if (!refusesToken(error)) throw error; // else: a server that was started anew, or weights that changed
    }
  }
  return follow(passage, fromWhole(common, passage), "", fields.num_chars, { signal, show });
}

/** A request that needs no token. Its seed is drawn here, not by the server, so that a broken stream can be taken up. */
function fromWhole({ state, ...common }, passage) {
  const drawn = common.temperature > 0 && common.seed === undefined ? { seed: Math.floor(Math.random() * SEEDS) } : {};
  return { ...common, ...drawn, prefix: textOf(passage) };
}

async function follow(passage, body, lastEventId, missing, { signal, show }) {
  const sent = passage;
  try {
    for await (const { type, data, id } of generate(body, { signal, lastEventId })) {
      lastEventId = id;
      if (type === "chunk") {
        const added = charactersOf(data);
        passage = append(passage, added);
        missing -= added.length;
        show(passage);
      } else if (type === "done") {
        return { passage: settle(passage, sent, body, data), answer: data };
      }
    }
  } catch (error) {
    if (!(error instanceof Problem) || passage === sent) throw error;
    throw new Broken(error, (options) => resume(passage, body, lastEventId, missing, options));
  }
}

/** The rest of the same request; where the server does not know it any more, a new one for what is missing. */
async function resume(passage, body, lastEventId, missing, options) {
  try {
    return await follow(passage, body, lastEventId, missing, options);
  } catch (error) {
    if (!refusesToken(error)) throw error;
    const whole = { ...fromWhole(body, passage), num_chars: Math.max(missing, 1) };
    return follow(passage, whole, "", missing, options);
  }
}

function refusesToken(error) {
  return error instanceof Problem && (error.status === 409 || (error.status === 422 && Boolean(error.about("state"))));
}

/** The passage with its token, and with the prefix as the model saw it where that is not what was sent. */
function settle(passage, sent, body, answer) {
  const changed = body.prefix !== undefined && answer.prefix !== body.prefix;
  const written = passage.characters.slice(sent.characters.length);
  const settled = changed ? append(begin(answer.prefix), written) : passage;
  return { ...settled, token: answer.state ? { state: answer.state, model: body.model } : null };
}
