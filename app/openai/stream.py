"""The lines of a streamed completion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from app.openai.answers import CompletionHead, choice_object, logprobs_body, unmatchable_stops, usage
from app.openai.fields import CompletionBody
from app.openai.prompts import Prompt
from app.refusals import Refusal
from app.scheduling.reply import Reply
from app.scheduling.requests import Chunk, Result
from app.serving.registry import Served
from app.wire.event_stream import data_line, merged_with_keepalive
from app.wire.long_json import in_turns
from app.wire.problems import openai_body, problem_of
from model.decoding.measure import Measured


async def events(
    head: CompletionHead,
    body: CompletionBody,
    served: Served,
    asked: list[Prompt],
    scores: Sequence[Measured | None],
    generations: list[Reply[Result]],
) -> AsyncIterator[bytes]:
    """OpenAI's stream: `data:` lines, the last of them [DONE]."""
    characters = served.lm.vocabulary.characters
    n = body.n
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    nothing_yet = {"usage": None} if with_usage else {}
    offsets = {number * n + i: len(prompt.text) for number, prompt in enumerate(asked) for i in range(n)}

    def event(choices: list[dict[str, Any]], **more: Any) -> Iterator[bytes]:
        yield from data_line(head.object(choices, **more))
        yield b"\n"

    def chunk_event(number: int, chunk: Chunk) -> Iterator[bytes]:
        index = number * n + chunk.index
        logprobs = None
        if chunk.measured is not None:
            logprobs = logprobs_body(characters, chunk.text, [chunk.measured], offsets[index])
        offsets[index] += len(chunk.text)
        return event([choice_object(chunk.text, index, logprobs, None)], **nothing_yet)

    try:
        for number, (prompt, score) in enumerate(zip(asked, scores, strict=True)):
            if body.echo:
                before = None if score is None else logprobs_body(characters, prompt.text, [score])
                for i in range(n):
                    begin = event([choice_object(prompt.text, number * n + i, before, None)], **nothing_yet)
                    async for piece in in_turns(begin):
                        yield piece
        async for piece in merged_with_keepalive(generations, chunk_event):
            yield piece
        results = [await generation for generation in generations]
        ends = [[choice.finish_reason for choice in result.choices] for result in results]
        for number, reasons in enumerate(ends or [["length"] * n] * len(asked)):
            for i, reason in enumerate(reasons):
                end = [choice_object("", number * n + i, None, reason)]
                yield b"".join(event(end, **nothing_yet, **unmatchable_stops(asked)))
        if with_usage:
            yield b"".join(event([], usage=usage(asked, results)))
        yield b"data: [DONE]\n\n"
    except Refusal as error:
        yield b"".join(data_line(openai_body(problem_of(error)))) + b"\n"
