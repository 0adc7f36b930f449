"""Waits for answers while watching whether the client is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from app.refusals import Cancelled
from app.scheduling.reply import Reply
from app.wire.problems import ProblemError

T = TypeVar("T")

CLIENT_LEFT = 499  # nobody reads it; the log and the metrics do


async def until_gone(request: Request, generation: Reply[T]) -> T:
    """The result. When the client leaves first, the rows are given up. Raises a Refusal where there is no result, and
    ProblemError 499 where the client left."""
    (result,) = await all_until_gone(request, [generation])
    return result


async def all_until_gone(request: Request, generations: Sequence[Reply[T]]) -> list[T]:
    """The results of all, as in `until_gone`. When one has none, or the client leaves, the others are given up."""
    listener = asyncio.create_task(_cancel_when_gone(request, generations))
    try:
        return [await generation for generation in generations]
    except Cancelled:
        raise ProblemError(CLIENT_LEFT, "the client left") from None
    finally:
        listener.cancel()
        for generation in generations:
            generation.cancel()


async def _cancel_when_gone(request: Request, generations: Sequence[Reply[Any]]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    for generation in generations:
        generation.cancel()
