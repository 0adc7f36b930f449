"""From a body to the questions it asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.openai.fields import CompletionBody
from app.serving.question import Options, Question, bounded, question
from app.serving.registry import Served
from app.settings import Settings
from app.wire.problems import ProblemError, name_field
from model.arrays import Int64s
from model.errors import OptionError, UnknownCharactersError


@dataclass(frozen=True)
class Prompt:
    """One prompt as the model sees it; `asked` is None where nothing is to be written."""

    text: str = field(repr=False)
    indices: Int64s = field(repr=False)
    asked: Question | None


def prompts(body: CompletionBody, served: Served, settings: Settings, caller: str = "") -> list[Prompt]:
    """Raises ProblemError and OptionError naming OpenAI's fields."""
    bounded("max_tokens", body.max_tokens, settings.max_num_chars)
    return [_prompt(text, body, served, settings, caller) for text in body.prompt]


def _prompt(text: str, body: CompletionBody, served: Served, settings: Settings, caller: str) -> Prompt:
    bounded("prompt", len(text), settings.max_prefix_chars, "characters")
    try:
        seen, indices = served.lm.prepare_prefix(text, field="prompt")
    except UnknownCharactersError as error:
        raise name_field(error, "prompt") from error
    if body.max_tokens == 0:
        return Prompt(seen, indices, None)
    options = Options(
        num_chars=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        n=body.n,
        stop=tuple(body.stop),
        seed=body.seed,
        logprobs=body.logprobs,
        stream=body.stream,
    )
    try:
        return Prompt(seen, indices, question(options, (seen, indices), served, settings, caller))
    except OptionError as error:
        field = "max_tokens" if error.field == "num_chars" else error.field
        raise ProblemError(422, str(error), errors=[{"field": field, "message": error.message}]) from error
