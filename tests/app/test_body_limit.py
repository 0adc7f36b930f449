from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.body_limit import BodyLimit

LIMIT = 10


def ask(pieces: list[bytes], declared: bytes | None, path: str = "/generate") -> tuple[int, bytes, int]:
    """Status and body of the answer, and how many pieces were read."""
    sent: list[dict[str, Any]] = []
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": pieces[read - 1], "more_body": read < len(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        whole, more = b"", True
        try:
            while more:
                message = await receive()
                whole += message["body"]
                more = message["more_body"]
        except Exception:  # as the framework does, which makes a 400 of it
            whole = b"cannot be read"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": whole})

    headers = [] if declared is None else [(b"content-length", declared)]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    asyncio.run(BodyLimit(app, LIMIT)(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]), read


@pytest.mark.parametrize("pieces", [[b""], [b"a" * LIMIT], [b"a"] * LIMIT, [b"", b"a" * 9, b"b"]])
def test_a_body_up_to_the_limit_passes_unchanged(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert ask(pieces, None) == ask(pieces, b"%d" % len(whole)) == (200, whole, len(pieces))


@pytest.mark.parametrize("declared", [b"11", b"9" * 400])
def test_what_declares_itself_too_large_is_not_read(declared: bytes) -> None:
    status, body, read = ask([b"a" * 11], declared)
    assert (status, read) == (413, 0)
    assert "10 bytes" in json.loads(body)["detail"]


@pytest.mark.parametrize("declared", [None, b"3"])
def test_what_turns_out_too_large_is_read_no_further(declared: bytes | None) -> None:
    status, body, read = ask([b"a" * 6, b"a" * 5, b"a" * 5], declared)
    assert (status, read) == (413, 2)
    assert json.loads(body)["status"] == 413


def test_under_v1_it_is_a_400_in_openais_shape() -> None:
    status, body, _ = ask([b"a" * 11], None, "/v1/completions")
    assert status == 400
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
