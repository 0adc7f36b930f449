"""From the fields of `/generate` to the question they ask. Knows continuation tokens; nothing of how it is answered."""

from __future__ import annotations

from app.native import tokens
from app.native.fields import GenerateFields
from app.scheduling.requests import Continuation
from app.serving.question import Options, Question, bounded, question
from app.serving.registry import Served
from app.settings import Settings
from app.wire.problems import field_problem
from model.arrays import Int64s


def question_of(
    fields: GenerateFields,
    served: Served,
    settings: Settings,
    secret: bytes,
    caller: str = "",
    drawn_seed: int | None = None,
) -> Question:
    """drawn_seed: what was drawn when this was asked for the first time; None to draw one where one is needed.

    Raises ProblemError and the model's errors for what this model or these settings do not allow.
    """
    if (fields.prefix is None) == (fields.state is None):
        both = fields.prefix is not None
        raise field_problem("prefix", "give either prefix or state, not both" if both else "is missing (or give state)")
    bounded("num_chars", fields.num_chars, settings.max_num_chars)
    seed = fields.seed
    start: tuple[str, Int64s] | Continuation
    if fields.state is not None:
        start, own_seed = _continuation(fields.state, served, secret)
        seed = own_seed if seed is None else seed
    else:
        assert fields.prefix is not None
        bounded("prefix", len(fields.prefix), settings.max_prefix_chars, "characters")
        start = served.lm.prepare_prefix(fields.prefix, fields.unknown)
    options = Options(
        num_chars=fields.num_chars,
        temperature=fields.temperature,
        top_k=fields.top_k,
        top_p=fields.top_p,
        seed=seed,
        n=fields.n,
        stop=tuple(fields.stop),
        end=fields.end,
        logprobs=fields.logprobs,
        return_state=fields.return_state,
        stream=fields.stream,
    )
    return question(options, start, served, settings, caller, drawn_seed)


def _continuation(token: str, served: Served, secret: bytes) -> tuple[Continuation, int | None]:
    """What a token holds, and its seed. Raises ProblemError 409 where other weights gave it."""
    checkpoint = served.lm.checkpoint
    try:
        return tokens.read(token, secret, checkpoint.config, checkpoint.digest)
    except tokens.OtherWeightsError as error:
        raise field_problem(error.field, error.message, 409) from error
