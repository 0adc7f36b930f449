"""Waits for an answer while watching whether the client is still there."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from starlette.requests import Request

from app.answering import problem_of
from app.errors import ProblemError
from app.generation import Cancelled, Generation, SchedulerError

T = TypeVar("T")

CLIENT_LEFT = 499  # nobody reads it; the log and the metrics do


async def until_gone(request: Request, generation: Generation[T]) -> T:
    """The result. When the client leaves first, the rows are given up. Raises ProblemError where there is no result."""
    listener = asyncio.create_task(_cancel_when_gone(request, generation))
    try:
        return await generation
    except Cancelled:
        raise ProblemError(CLIENT_LEFT, "the client left") from None
    except SchedulerError as error:
        raise problem_of(error) from error
    finally:
        listener.cancel()
        generation.cancel()


async def _cancel_when_gone(request: Request, generation: Generation[T]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    generation.cancel()
