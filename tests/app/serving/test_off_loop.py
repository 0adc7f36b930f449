"""A call that blocks, fails in any way or never ends leaves the event loop and the process alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from app.serving.off_loop import NoAnswer, off_loop

ROOT = Path(__file__).parent.parent.parent.parent


def test_the_result_comes_back_from_another_thread() -> None:
    assert asyncio.run(off_loop(threading.get_ident)) != threading.get_ident()


def test_calls_that_hang_hold_up_no_other() -> None:
    release = threading.Event()

    async def run() -> list[int]:
        hanging = [asyncio.create_task(off_loop(release.wait)) for _ in range(100)]
        answers = [await off_loop(partial(int, n)) for n in range(3)]
        assert not any(task.done() for task in hanging)
        release.set()
        await asyncio.gather(*hanging)
        return answers

    assert asyncio.run(run()) == [0, 1, 2]


@pytest.mark.parametrize("error", [ValueError("a"), MemoryError(), RecursionError("deep"), OSError(24, "files")])
def test_an_exception_comes_as_it_is(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        asyncio.run(off_loop(fail))
    assert caught.value is error


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_an_event_loop_would_stumble_over_comes_as_an_error_that_names_it(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        asyncio.run(off_loop(fail, patience_s=20))


def test_a_call_that_never_ends_does_not_keep_the_process() -> None:
    program = """
import asyncio, threading
from app.serving.off_loop import off_loop
async def run():
    asyncio.ensure_future(off_loop(threading.Event().wait))
    await asyncio.sleep(0.01)
asyncio.run(run())
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=True)


def test_a_call_that_takes_longer_than_one_waits_is_given_up() -> None:
    release = threading.Event()

    async def run() -> None:
        with pytest.raises(NoAnswer, match=r"after 0\.01 s"):
            await off_loop(release.wait, patience_s=0.01)
        release.set()

    asyncio.run(run())


def test_an_outcome_after_the_loop_is_closed_troubles_nobody(recwarn: pytest.WarningsRecorder) -> None:
    release, ended = threading.Event(), threading.Event()

    def late() -> None:
        release.wait(20)
        ended.set()

    async def run() -> None:
        task = asyncio.create_task(off_loop(late))
        await asyncio.sleep(0.01)
        assert not task.done()

    asyncio.run(run())
    release.set()
    assert ended.wait(20)
    assert not recwarn
