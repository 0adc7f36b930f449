// What went wrong, in plain words. One place that turns the server's problems into sentences for the reader.

import { Broken } from "./writing.js";

export function explain(problem, words) {
  const wait = problem.retryAfterS === null ? "" : words.inSeconds(problem.retryAfterS);
  if (problem instanceof Broken && problem.status === 0) return words.broken;
  switch (problem.status) {
    case 0:
      return words.unreachable;
    case 401:
      return words.noKey;
    case 404:
      return words.modelGone;
    case 413:
      return words.tooLarge;
    case 429:
      return words.busy + wait;
    case 503:
      return words.notReady(problem.message) + wait;
    default:
      return problem.status < 500 ? words.refused(problem.message) : words.failed(problem.status);
  }
}

/** Whether the same request may succeed a little later. */
export function mayPass(problem) {
  return problem.status === 0 || problem.status === 429 || problem.status >= 500;
}
