"""`/v1`: the official `openai` client works unchanged, completions streamed or whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response

from app.answering import problem_of, submit
from app.completions import CompletionHead, Prompt, joined, logprobs_body, prompts, usage
from app.errors import ProblemError, dump, openai_body, show
from app.generation import Chunk, Generation, Result, SchedulerError, ScoreRequest
from app.openai_schemas import Completion, CompletionBody
from app.registry import Served
from app.service import ServiceOf, caller_of
from app.streaming import event_stream, merged_with_keepalive
from app.waiting import until_gone
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
    served = service.registry.get(body.model)
    asked = prompts(body, served, service.settings, service.secret.get_secret_value(), caller_of(request))
    scores = await _score_prompts(request, asked, body, served, service.settings.request_timeout_s)
    generations: list[Generation[Result] | None] = []
    try:
        for prompt in asked:
            generations.append(None if prompt.asked is None else submit(prompt.asked))
        if body.stream:
            head = CompletionHead.new(served.name)
            answer: Response = event_stream(_events(head, body, served, asked, scores, generations))
            generations = []  # the stream's own now
            return answer
        results: list[Result | None] = []
        for generation in generations:
            result = None
            if generation is not None:
                result = await until_gone(request, generation)
            results.append(result)
    finally:
        for generation in generations:
            if generation is not None:
                generation.cancel()
    choices = []
    for number, (prompt, score, result) in enumerate(zip(asked, scores, results, strict=True)):
        choices += _choices(number, prompt, score, result, body, served)
    written = sum(result.chars_written for result in results if result is not None)
    counts = usage(sum(len(prompt.text) for prompt in asked), written)
    head = CompletionHead.new(served.name)
    return Response(dump(head.object(choices, usage=counts)), media_type="application/json")


async def _score_prompts(
    request: Request, asked: list[Prompt], body: CompletionBody, served: Served, timeout_s: float
) -> list[Measured | None]:
    """Echoed prompts have log-probabilities of their own."""
    if not body.echo or body.logprobs is None:
        return [None] * len(asked)
    caller = caller_of(request)
    generations: list[Generation[Measured]] = []
    try:
        for prompt in asked:
            indices = served.lm.vocabulary.encode(prompt.text).astype("int64")
            generations.append(served.scheduler.submit_score(ScoreRequest(indices, body.logprobs, timeout_s, caller)))
        scores = [await until_gone(request, generation) for generation in generations]
        return [*scores]
    except SchedulerError as error:
        raise problem_of(error) from error
    finally:
        for generation in generations:
            generation.cancel()


def _choices(
    number: int, prompt: Prompt, score: Measured | None, result: Result | None, body: CompletionBody, served: Served
) -> list[dict[str, Any]]:
    characters = served.lm.vocabulary.characters
    echoed = prompt.text if body.echo else ""
    n = body.n or 1
    before = None if score is None else logprobs_body(characters, prompt.text, score, first_unscored=True)
    if result is None:
        return [_choice(echoed, number * n + i, before, "length") for i in range(n)]
    choices = []
    for choice in result.choices:
        after = None
        if choice.measured is not None:
            after = logprobs_body(characters, choice.text, choice.measured, len(prompt.text))
        whole = joined(before, after) if before is not None and after is not None else after or before
        choices.append(_choice(echoed + choice.text, number * n + choice.index, whole, choice.finish_reason))
    return choices


def _choice(text: str, index: int, logprobs: dict[str, Any] | None, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}


async def _events(
    head: CompletionHead,
    body: CompletionBody,
    served: Served,
    asked: list[Prompt],
    scores: list[Measured | None],
    generations: list[Generation[Result] | None],
) -> AsyncIterator[bytes]:
    """OpenAI's stream: `data:` lines, the last of them [DONE]."""
    characters = served.lm.vocabulary.characters
    n = body.n or 1
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    nothing_yet = {"usage": None} if with_usage else {}
    offsets = {number * n + i: len(prompt.text) for number, prompt in enumerate(asked) for i in range(n)}

    def data(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + dump(head.object(choices, **more)) + b"\n\n"

    def encode(number: int, chunk: Chunk) -> bytes:
        index = number * n + chunk.index
        logprobs = None
        if chunk.measured is not None:
            logprobs = logprobs_body(characters, chunk.text, chunk.measured, offsets[index])
        offsets[index] += len(chunk.text)
        return data([_choice(chunk.text, index, logprobs, None)], **nothing_yet)

    running = [generation for generation in generations if generation is not None]
    try:
        for number, (prompt, score) in enumerate(zip(asked, scores, strict=True)):
            if body.echo:
                before = None if score is None else logprobs_body(characters, prompt.text, score, first_unscored=True)
                for i in range(n):
                    yield data([_choice(prompt.text, number * n + i, before, None)], **nothing_yet)
        async for event in merged_with_keepalive(running, encode):
            yield event
        written = 0
        for number, generation in enumerate(generations):
            reasons = ["length"] * n
            if generation is not None:
                result = await generation
                written += result.chars_written
                reasons = [choice.finish_reason for choice in result.choices]
            for i, reason in enumerate(reasons):
                yield data([_choice("", number * n + i, None, reason)], **nothing_yet)
        if with_usage:
            yield data([], usage=usage(sum(len(prompt.text) for prompt in asked), written))
        yield b"data: [DONE]\n\n"
    except SchedulerError as error:
        yield b"data: " + dump(openai_body(problem_of(error))) + b"\n\n"
    finally:
        for generation in running:
            generation.cancel()
