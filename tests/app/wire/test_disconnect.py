from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.requests import Request

from app.refusals import Cancelled, DeadlineExceeded, QueueFull, Refusal, StepFailed
from app.scheduling.reply import Reply
from app.wire.disconnect import CLIENT_LEFT, all_until_gone, until_gone
from app.wire.problems import ProblemError


class Client:
    """A client that leaves when it is told to, and the generations it waits for."""

    def __init__(self, count: int = 1) -> None:
        self.leaves = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.generations: list[Reply[str]] = [Reply(loop) for _ in range(count)]
        self.request = Request({"type": "http"}, self._receive)

    @property
    def cancelled(self) -> list[int]:
        return [i for i, generation in enumerate(self.generations) if isinstance(generation.error, Cancelled)]

    async def _receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


def run(use: Callable[[], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(use(), 300)
        await asyncio.sleep(0)  # a task that was cancelled before it began ends in its first turn
        assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing goes on listening"

    asyncio.run(bounded())


def test_the_results_come_in_order_whichever_is_there_first() -> None:
    async def use() -> None:
        client = Client(3)
        waiting = asyncio.ensure_future(all_until_gone(client.request, client.generations))
        for number in (2, 0, 1):
            await asyncio.sleep(0)
            client.generations[number].finish(f"result {number}")
        assert await waiting == ["result 0", "result 1", "result 2"]
        assert client.cancelled == []

    run(use)


def test_nothing_to_wait_for_is_no_results() -> None:
    async def use() -> None:
        assert await all_until_gone(Client().request, []) == []

    run(use)


def test_a_client_that_leaves_gives_up_all() -> None:
    async def use() -> None:
        client = Client(3)
        client.generations[0].finish("there already")
        waiting = asyncio.ensure_future(all_until_gone(client.request, client.generations))
        await asyncio.sleep(0)
        client.leaves.set()
        with pytest.raises(ProblemError) as caught:
            await waiting
        assert caught.value.status == CLIENT_LEFT
        assert client.cancelled == [1, 2]

    run(use)


def test_a_client_that_leaves_gives_up_the_one_it_waits_for() -> None:
    async def use() -> None:
        client = Client()
        waiting = asyncio.ensure_future(until_gone(client.request, client.generations[0]))
        await asyncio.sleep(0)
        client.leaves.set()
        with pytest.raises(ProblemError) as caught:
            await waiting
        assert caught.value.detail == "the client left"
        assert client.cancelled == [0]

    run(use)


def test_one_that_fails_gives_up_the_others_and_says_why() -> None:
    async def use() -> None:
        for error in (QueueFull("full"), DeadlineExceeded("late"), StepFailed("broken")):
            client = Client(2)
            waiting = asyncio.ensure_future(all_until_gone(client.request, client.generations))
            await asyncio.sleep(0)
            client.generations[0].fail(error)
            with pytest.raises(Refusal) as caught:
                await waiting
            assert caught.value is error
            assert client.cancelled == [1]

    run(use)


def test_a_wait_that_is_cancelled_itself_frees_the_rows() -> None:
    async def use() -> None:
        client = Client()
        waiting = asyncio.ensure_future(until_gone(client.request, client.generations[0]))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert client.cancelled == [0]

    run(use)
