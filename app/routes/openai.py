"""`/v1`: the official `openai` client works unchanged, completions streamed or whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from app.answering import problem_of, submit, submit_score
from app.completions import CompletionHead, Prompt, logprobs_body, prompts, unmatchable_stops, usage
from app.errors import ProblemError, dump, openai_body, show
from app.generation import Chunk, Generation, Result, SchedulerError, ScoreRequest
from app.long_json import in_turns, pieces, response
from app.openai_schemas import Completion, CompletionBody
from app.registry import Served
from app.service import ServiceOf, caller_of
from app.streaming import event_stream, merged_with_keepalive
from app.waiting import all_until_gone
from model.measure import Measured

router = APIRouter(prefix="/v1", tags=["openai"])


@router.get("/models")
async def list_models(service: ServiceOf) -> Response:
    data = [model_object(served) for served in service.registry.served()]
    return Response(dump({"object": "list", "data": data}), media_type="application/json")


@router.get("/models/{name}")
async def one_model(service: ServiceOf, name: str) -> Response:
    served = service.registry.find(name)
    if served is None:
        raise ProblemError(404, f"model: there is no {show(name)}", code="model_not_found")
    return Response(dump(model_object(served)), media_type="application/json")


def model_object(served: Served) -> dict[str, Any]:
    return {"id": served.name, "object": "model", "created": served.loaded_at, "owned_by": "nextchar"}


@router.post("/completions", responses={200: {"model": Completion}})
async def complete(request: Request, service: ServiceOf, body: CompletionBody) -> Response:
    """Continues prompts; tokens are characters. With echo and max_tokens 0 it scores them."""
    served, caller = service.registry.get(body.model), caller_of(request)
    asked = prompts(body, served, service.settings, service.secret.get_secret_value(), caller)
    head = CompletionHead.new(served.name)
    scoring: list[Generation[Measured]] = []
    writing: list[Generation[Result]] = []
    try:
        # All at once: they share batches, and one time limit.
        if body.echo and body.logprobs is not None:
            for prompt in asked:
                scored = ScoreRequest(prompt.indices, body.logprobs, service.settings.request_timeout_s, caller)
                scoring.append(submit_score(served, scored, service.settings, "prompt"))
        for question in [prompt.asked for prompt in asked if prompt.asked is not None]:
            writing.append(submit(question))
        measured = await all_until_gone(request, scoring)
        scores: Sequence[Measured | None] = measured or [None] * len(asked)
        if body.stream:
            running, writing = writing, []  # the stream's own now
            return event_stream(_events(head, body, served, asked, scores, running), running)
        written = await all_until_gone(request, writing)
        results: Sequence[Result | None] = written or [None] * len(asked)
    finally:
        for given_up in (scoring, writing):
            for generation in given_up:
                generation.cancel()
    choices = []
    for number, (prompt, score, result) in enumerate(zip(asked, scores, results, strict=True)):
        choices += _choices(number, prompt, score, result, body, served)
    return response(head.object(choices, usage=usage(asked, written), **unmatchable_stops(asked)))


def _choices(
    number: int, prompt: Prompt, score: Measured | None, result: Result | None, body: CompletionBody, served: Served
) -> list[dict[str, Any]]:
    characters = served.lm.vocabulary.characters
    echoed = prompt.text if body.echo else ""
    n = body.n or 1
    before = [] if score is None else [score]
    if result is None:
        logprobs = logprobs_body(characters, echoed, before) if before else None
        return [_choice(echoed, number * n + i, logprobs, "length") for i in range(n)]
    choices = []
    for choice in result.choices:
        text = echoed + choice.text
        measured = [*before, choice.measured] if choice.measured is not None else before
        offset = len(prompt.text) - len(echoed)
        logprobs = logprobs_body(characters, text, measured, offset) if measured else None
        choices.append(_choice(text, number * n + choice.index, logprobs, choice.finish_reason))
    return choices


def _choice(text: str, index: int, logprobs: dict[str, Any] | None, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}


async def _events(
    head: CompletionHead,
    body: CompletionBody,
    served: Served,
    asked: list[Prompt],
    scores: Sequence[Measured | None],
    generations: list[Generation[Result]],
) -> AsyncIterator[bytes]:
    """OpenAI's stream: `data:` lines, the last of them [DONE]."""
    characters = served.lm.vocabulary.characters
    n = body.n or 1
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    nothing_yet = {"usage": None} if with_usage else {}
    offsets = {number * n + i: len(prompt.text) for number, prompt in enumerate(asked) for i in range(n)}

    def event(choices: list[dict[str, Any]], **more: Any) -> Iterator[bytes]:
        yield b"data: "
        yield from pieces(head.object(choices, **more))
        yield b"\n\n"

    def chunk_event(number: int, chunk: Chunk) -> Iterator[bytes]:
        index = number * n + chunk.index
        logprobs = None
        if chunk.measured is not None:
            logprobs = logprobs_body(characters, chunk.text, [chunk.measured], offsets[index])
        offsets[index] += len(chunk.text)
        return event([_choice(chunk.text, index, logprobs, None)], **nothing_yet)

    try:
        for number, (prompt, score) in enumerate(zip(asked, scores, strict=True)):
            if body.echo:
                before = None if score is None else logprobs_body(characters, prompt.text, [score])
                for i in range(n):
                    begin = event([_choice(prompt.text, number * n + i, before, None)], **nothing_yet)
                    async for piece in in_turns(begin):
                        yield piece
        async for piece in merged_with_keepalive(generations, chunk_event):
            yield piece
        results = [await generation for generation in generations]
        ends = [[choice.finish_reason for choice in result.choices] for result in results]
        for number, reasons in enumerate(ends or [["length"] * n] * len(asked)):
            for i, reason in enumerate(reasons):
                end = [_choice("", number * n + i, None, reason)]
                yield b"".join(event(end, **nothing_yet, **unmatchable_stops(asked)))
        if with_usage:
            yield b"".join(event([], usage=usage(asked, results)))
        yield b"data: [DONE]\n\n"
    except SchedulerError as error:
        yield b"data: " + dump(openai_body(problem_of(error))) + b"\n\n"
