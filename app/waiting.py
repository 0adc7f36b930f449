"""Waits for answers while watching whether the client is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from app.answering import problem_of
from app.errors import ProblemError
from app.generation import Cancelled, Generation, SchedulerError

T = TypeVar("T")

CLIENT_LEFT = 499  # nobody reads it; the log and the metrics do


async def until_gone(request: Request, generation: Generation[T]) -> T:
    """The result. When the client leaves first, the rows are given up. Raises ProblemError where there is no result."""
    (result,) = await all_until_gone(request, [generation])
    return result


async def all_until_gone(request: Request, generations: Sequence[Generation[T]]) -> list[T]:
    """The results of all. When one has none, or the client leaves, the others are given up."""
    listener = asyncio.create_task(_cancel_when_gone(request, generations))
    try:
        return [await generation for generation in generations]
    except Cancelled:
        raise ProblemError(CLIENT_LEFT, "the client left") from None
    except SchedulerError as error:
        raise problem_of(error) from error
    finally:
        listener.cancel()
        for generation in generations:
            generation.cancel()


async def _cancel_when_gone(request: Request, generations: Sequence[Generation[Any]]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    for generation in generations:
        generation.cancel()
