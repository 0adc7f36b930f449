"""Runs a call that may block for long, or for ever, beside the event loop.

Each call has a thread of its own, which ends with the process: one that hangs holds up neither another call, as it
would in a pool, nor the end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class NoAnswer(Exception):  # noqa: N818 - says what is missing
    """The call was still running when patience was out; its thread goes on."""


async def off_loop(call: Callable[[], T], patience_s: float | None = None) -> T:
    """What the call returns or raises; whatever it raises comes as an Exception. Cancelling leaves the thread alone.

    Raises NoAnswer where it takes longer than `patience_s`.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(put: Callable[[Any], None], value: object) -> None:
        if not outcome.done():
            put(value)

    def tell(put: Callable[[Any], None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, put, value)

    def run() -> None:
        try:
            result = call()
        except Exception as error:
            # A future takes no StopIteration.
            tell(outcome.set_exception, RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
        except BaseException as error:  # sys.exit in the thread is no reason to end the process
            tell(outcome.set_exception, RuntimeError(repr(error)))
        else:
            tell(outcome.set_result, result)

    threading.Thread(target=run, name="off the loop", daemon=True).start()
    # Not asyncio.wait_for, which until Python 3.12 may swallow a cancellation.
    done, _ = await asyncio.wait({outcome}, timeout=patience_s)
    if not done:
        raise NoAnswer(f"no answer after {patience_s:g} s")
    return outcome.result()
