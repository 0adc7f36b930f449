"""From checked values to a request: lengths, sampling, seed and stops. Knows no fields of any route, and no tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from app.scheduling.answer_budget import SHARE, megabytes
from app.scheduling.reply import Reply
from app.scheduling.requests import Continuation, GenerateRequest, Result, ScoreRequest
from app.serving.registry import Served
from app.settings import Settings
from model.arrays import Int64s
from model.decoding.measure import Measured
from model.errors import OptionError
from model.sampling.options import Sampling
from model.seeds import draw_seed
from model.text.boundaries import check_end


@dataclass(frozen=True)
class Options:
    """How to continue. seed: None to draw one where one is needed. The others are as in GenerateRequest."""

    num_chars: int
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int | None = None
    n: int = 1
    stop: tuple[str, ...] = field(default=(), repr=False)
    end: str | None = None
    logprobs: int | None = None
    return_state: bool = False
    stream: bool = False


@dataclass(frozen=True)
class Question:
    """A request that can be decoded. `prefix` is as the model sees it, and "" behind a Continuation.

    unmatchable_stops: those of the stop strings that this model cannot write.
    """

    served: Served
    request: GenerateRequest
    prefix: str = field(repr=False)
    unmatchable_stops: tuple[str, ...] = field(default=(), repr=False)


def question(
    options: Options,
    start: tuple[str, Int64s] | Continuation,
    served: Served,
    settings: Settings,
    caller: str = "",
    drawn_seed: int | None = None,
) -> Question:
    """start: what is continued: a text as the model sees it with its indices, or where an earlier text ended.
    drawn_seed: what was drawn when this was asked for the first time; None to draw one where one is needed.

    Raises OptionError for what this model or these settings do not allow; lengths are the caller's to check.
    """
    lm = served.lm
    check_end(options.end, lm.vocabulary)
    state, first, prefix, indices = None, None, "", np.zeros(0, np.int64)
    if not isinstance(start, Continuation):
        prefix, indices = start
    elif start.pending is None:
        _, indices = lm.prepare_prefix("")
    else:
        state = start
    if state is None and not len(indices):
        first = lm.beginning.first
    seed = options.seed
    if options.temperature > 0 and seed is None:
        seed = draw_seed() if drawn_seed is None else drawn_seed
    sampling = Sampling(options.temperature, options.top_k, options.top_p, seed if options.temperature > 0 else None)
    # The text rules are for what the model reads. A stop string is looked for in what it writes: "\n" made a space by
    # them would cut at the first space.
    stops = [stop for stop in options.stop if lm.vocabulary.known(stop) == stop]
    request = GenerateRequest(
        prefix=indices,
        num_chars=options.num_chars,
        sampling=sampling,
        n=options.n,
        stop=tuple(stops),
        end=options.end,
        logprobs=options.logprobs,
        state=state,
        first=first,
        return_state=options.return_state,
        stream=options.stream,
        timeout_s=settings.request_timeout_s,
        caller=caller,
    )
    check_size("num_chars", request, settings)
    return Question(served, request, prefix, tuple(stop for stop in options.stop if stop not in stops))


def submit(asked: Question) -> Reply[Result]:
    """Hands the request to the model's scheduler. Raises a Refusal where it does not take it."""
    return asked.served.scheduler.submit(asked.request)


def submit_score(served: Served, scored: ScoreRequest, settings: Settings, field: str) -> Reply[Measured]:
    """Hands the text of a field to the model's scheduler. Raises OptionError for one that is too long, and a Refusal
    where it is not taken."""
    check_size(field, scored, settings)
    return served.scheduler.submit_score(scored)


def bounded(field: str, value: int, most: int, unit: str = "") -> None:
    """Raises OptionError for a value above `most`."""
    if value > most:
        has = f"has {value} {unit}" if unit else str(value)
        raise OptionError(field, f"{has}; this server allows {most}")


def check_size(field: str, request: GenerateRequest | ScoreRequest, settings: Settings) -> None:
    """Raises OptionError where the answer alone would take more memory than one may."""
    size, most = request.answer_bytes, settings.max_answer_mb * 2**20 // SHARE
    if size <= most:
        return
    if isinstance(request, GenerateRequest):
        alternatives = "" if request.logprobs is None else f", with {request.logprobs} alternatives at each"
        what = f"{request.n} × {request.most_chars} characters{alternatives}"
    else:
        what = f"the scores of {len(request.indices)} characters, with {request.alternatives} alternatives at each"
    raise OptionError(
        field, f"{what}, may take {megabytes(size)} of memory; this server allows {megabytes(most)} for one answer"
    )
