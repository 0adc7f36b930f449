from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from app.refusals import AnswersFull, Cancelled, DeadlineExceeded, Draining, NotReady, QueueFull, Refusal, StepFailed
from app.scheduling.reply import UNREAD_BYTES, Reply
from app.scheduling.requests import (
    ALTERNATIVE_BYTES,
    MEASURED_BYTES,
    ROW_BYTES,
    TEXT_BYTES,
    Chunk,
    GenerateRequest,
    ScoreRequest,
)
from model.decoding.measure import empty


def with_a_loop(use: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(use(), 300))


def chunk(text: str, index: int = 0) -> Chunk:
    return Chunk(index, text, None)


def test_the_memory_of_an_answer_grows_with_all_that_is_kept_of_it() -> None:
    text = TEXT_BYTES * 5 + 3 * (ROW_BYTES + 100 * TEXT_BYTES)
    measured = 3 * 100 * (MEASURED_BYTES + 7 * ALTERNATIVE_BYTES)
    assert GenerateRequest(np.arange(5), 100, n=3).answer_bytes == text
    assert GenerateRequest(np.arange(5), 100, n=3, logprobs=7).answer_bytes == text + measured
    assert GenerateRequest(np.arange(5), 100, n=3, logprobs=0).answer_bytes == text + 300 * MEASURED_BYTES
    each = TEXT_BYTES + MEASURED_BYTES + 2 * ALTERNATIVE_BYTES
    assert ScoreRequest(np.arange(50), 2).answer_bytes == ROW_BYTES + 50 * each


def test_an_answer_is_reckoned_no_smaller_than_its_arrays_and_its_text() -> None:
    for count, alternatives in ((100, 0), (100, 20), (10_000, 3)):
        arrays = sum(values.nbytes for values in empty((count,), alternatives)) + 12 * count  # index and character
        reckoned = GenerateRequest(np.arange(1), count, logprobs=alternatives).answer_bytes
        assert arrays <= reckoned <= 1.5 * arrays + 2 * ROW_BYTES


def test_a_chunk_is_as_large_as_what_is_in_it() -> None:
    measured = empty((10,), 3)
    nothing = chunk("").size
    assert chunk("分" * 10).size - nothing == 40
    assert Chunk(0, "分" * 10, measured).size - nothing == 40 + 10 * (8 + 4 + 8 + 3 * (4 + 8))
    assert 0 < nothing < 1000


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(QueueFull, 1), (AnswersFull, 1), (Draining, 5), (NotReady, 5), (DeadlineExceeded, 1), (StepFailed, None)],
)
def test_it_is_said_when_asking_again_is_worth_it(error: type[Refusal], seconds: int | None) -> None:
    assert error("why").retry_after_s == seconds


def test_whoever_waits_is_told_of_a_result_once_it_is_there() -> None:
    async def use() -> None:
        generation: Reply[str] = Reply(asyncio.get_running_loop())
        told: list[bool] = []
        generation.watch(lambda: told.append(generation.done), lambda: None)
        waiting = [asyncio.ensure_future(_wait(generation)) for _ in range(3)]
        await asyncio.sleep(0)
        assert (generation.done, generation.answer, generation.error) == (False, None, None)
        generation.finish("text")
        assert (generation.done, generation.answer, generation.error) == (True, "text", None)
        generation.finish("another")
        generation.fail(StepFailed("too late"))
        assert await asyncio.gather(*waiting) == ["text"] * 3
        assert await generation == "text"
        assert (generation.error, told) == (None, [True])

    with_a_loop(use)


def test_whoever_waits_is_told_of_an_error_and_nothing_comes_after_it() -> None:
    async def use() -> None:
        generation: Reply[str] = Reply(asyncio.get_running_loop())
        told: list[bool] = []
        generation.watch(lambda: told.append(generation.done), lambda: None)
        waiting = asyncio.ensure_future(_wait(generation))
        await asyncio.sleep(0)
        error = StepFailed("broken")
        generation.fail(error)
        generation.finish("text")
        generation.push(chunk("a"))
        generation.cancel()
        for ended in (waiting, _wait(generation), _texts(generation)):
            with pytest.raises(StepFailed) as raised:
                await ended
            assert raised.value is error
        assert (generation.answer, generation.error, told) == (None, error, [True])

    with_a_loop(use)


def test_cancelling_is_an_error_of_its_own_and_needs_nobody_who_watches() -> None:
    async def use() -> None:
        generation: Reply[str] = Reply(asyncio.get_running_loop())
        generation.cancel()
        with pytest.raises(Cancelled):
            await generation

    with_a_loop(use)


def test_chunks_come_in_order_as_they_are_made_and_those_before_an_error_first() -> None:
    async def use() -> None:
        for error in (None, StepFailed("broken")):
            generation: Reply[str] = Reply(asyncio.get_running_loop())
            generation.push(chunk("a"))
            got: list[str] = []
            reading = asyncio.ensure_future(_read(generation, got))
            await asyncio.sleep(0)
            assert got == ["a"]
            generation.push(chunk("b"))
            generation.push(chunk("c"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert got == ["a", "b", "c"]
            assert not reading.done()
            generation.push(chunk("d"))
            if error is None:
                generation.finish("abcd")
                await reading
            else:
                generation.fail(error)
                with pytest.raises(StepFailed):
                    await reading
            assert got == ["a", "b", "c", "d"]

    with_a_loop(use)


def test_a_waiter_that_was_cancelled_keeps_nobody_else_waiting() -> None:
    async def use() -> None:
        generation: Reply[str] = Reply(asyncio.get_running_loop())
        first, second = (asyncio.ensure_future(_wait(generation)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        generation.finish("text")
        assert await second == "text"

    with_a_loop(use)


def test_who_reads_slowly_is_waited_for_until_half_is_read() -> None:
    async def use() -> None:
        generation: Reply[str] = Reply(asyncio.get_running_loop())
        woken: list[int] = []
        generation.watch(lambda: None, lambda: woken.append(sent - read))
        piece = chunk("分" * 2000)
        sent = read = 0
        while True:
            assert generation.must_rest() == (sent > UNREAD_BYTES)
            if sent > UNREAD_BYTES:
                break
            generation.sends(piece)
            generation.push(piece)
            sent += piece.size
        reading = aiter(generation)
        while not woken:
            read += piece.size
            await anext(reading)
        assert woken == [sent - read]
        assert UNREAD_BYTES // 2 - piece.size < sent - read <= UNREAD_BYTES // 2
        assert not generation.must_rest()
        while read < sent:
            await anext(reading)
            read += piece.size
        assert len(woken) == 1
        generation.sends(piece)  # what was read is counted: there is room again
        assert not generation.must_rest()

    with_a_loop(use)


def test_who_rested_and_was_ended_is_not_woken() -> None:
    async def use() -> None:
        generation: Reply[str] = Reply(asyncio.get_running_loop())
        woken: list[None] = []
        generation.watch(lambda: None, lambda: woken.append(None))
        piece = chunk("分" * UNREAD_BYTES)
        generation.sends(piece)
        generation.push(piece)
        assert generation.must_rest()
        generation.finish("text")
        assert await _texts(generation) == [piece.text]
        assert woken == []

    with_a_loop(use)


def test_a_reader_who_catches_up_while_it_is_being_asked_is_seen() -> None:
    """The reader's thread runs between the decode thread's two looks."""

    async def use() -> None:
        generation: Reply[str] = Reply(asyncio.get_running_loop())
        woken: list[None] = []
        generation.watch(lambda: None, lambda: woken.append(None))
        generation.sends(chunk("分" * UNREAD_BYTES))

        class Unread(int):
            def __rsub__(self, sent: int) -> int:
                generation._read = sent
                return sent

        generation._read = Unread(0)
        assert not generation.must_rest()
        assert woken == []
        generation.push(chunk("a"))
        assert await anext(aiter(generation)) == chunk("a")
        assert woken == []  # it was not resting

    with_a_loop(use)


async def _wait(generation: Reply[str]) -> str:
    return await generation


async def _read(generation: Reply[str], into: list[str]) -> None:
    async for piece in generation:
        into.append(piece.text)


async def _texts(generation: Reply[str]) -> list[Any]:
    return [piece.text async for piece in generation]
