"""What is different for clients of HTTP/1.0. They know no chunks: an answer without a length ends with its connection.

The server makes chunks for every client, and takes its own count of a length for what the app declared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

Send = Callable[[Any], Awaitable[None]]


def without_chunks(cycle: RequestResponseCycle, send: Send) -> Send:
    """`send` of a cycle whose connection closes behind the answer."""
    has_length = False

    async def send_as_it_is(message: Any) -> None:
        nonlocal has_length
        if message["type"] == "http.response.start":
            has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not has_length:
                cycle.chunked_encoding = False
        elif not has_length:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_as_it_is
