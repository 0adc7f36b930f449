from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from app.middleware.body_limit import BodyLimit
from tests.app import asgi
from tests.app.asgi import Inside, passes_what_is_not_http, scope_of

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


async def reads_all(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body it read; fails as the framework does where it cannot."""
    whole, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        whole += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": whole})


def limited(inside: Any = reads_all, limit: int = LIMIT) -> BodyLimit:
    return BodyLimit(inside, limit)


def piece(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_what_is_not_http_passes() -> None:
    passes_what_is_not_http(limited)


def test_the_app_behind_it_gets_the_scope() -> None:
    inside, scope = Inside(), scope_of("POST")
    assert asgi.ask(limited(inside), scope).body == b"inside"
    assert inside.calls[0][0] is scope


@pytest.mark.parametrize("message", [{"type": "http.request"}, {"type": "http.request", "body": b""}])
def test_a_message_need_not_bring_anything(message: dict[str, Any]) -> None:
    answer = asgi.ask(limited(), scope_of("POST"), piece(b"a" * LIMIT), message)
    assert (answer.status, answer.body) == (200, b"a" * LIMIT)


def test_too_large_closes_the_connection_and_names_the_limit() -> None:
    declared = asgi.ask(limited(), scope_of("POST", Content_Length="11"))
    turned_out = asgi.ask(limited(), scope_of("POST"), piece(b"a" * 6), piece(b"a" * 5))
    for answer in (declared, turned_out):
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert f"{LIMIT} bytes" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize(
    ("declared", "refused"),
    [
        (str(10**17), False),
        (str(10**18 - 1), False),
        (str(10**18), True),  # of 19 digits: more than any limit may be, whatever number they make
        ("0" * 18, False),
        ("x" * 40, False),
        ("-11", False),
    ],
)
def test_a_length_is_compared_as_far_as_it_is_one(declared: str, refused: bool) -> None:
    answer = asgi.ask(limited(limit=10**18 + 5), scope_of("POST", Content_Length=declared))
    assert (answer.status == 413) is refused


@pytest.mark.parametrize(("status", "wait"), [(503, "5"), (408, None), (400, None)])
def test_what_the_server_gave_up_reading_has_the_servers_status_and_words(status: int, wait: str | None) -> None:
    given_up = {"type": "http.disconnect", "status": status, "detail": "so it is"}
    answer = asgi.ask(limited(), scope_of("POST"), piece(b"a"), given_up)
    assert (answer.status, json.loads(answer.body)["detail"]) == (status, "so it is")
    assert (answer.headers["connection"], answer.headers.get("retry-after")) == ("close", wait)


def test_a_client_that_left_and_an_error_behind_it_stay_what_they_are() -> None:
    with pytest.raises(ClientDisconnect):
        asgi.ask(limited(), scope_of("POST"), piece(b"a"), {"type": "http.disconnect"})

    async def fails(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asgi.ask(limited(fails), scope_of("POST"))


@pytest.mark.parametrize("raises", [False, True])
def test_an_answer_that_had_begun_is_not_answered_again(raises: bool) -> None:
    sent: list[str] = []

    async def begins(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await receive()
        except Exception:
            if raises:
                raise
        await send({"type": "http.response.body", "body": b"too late"})

    async def receive() -> dict[str, Any]:
        return piece(b"a" * 11)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(limited(begins)(scope_of("POST"), receive, send))
    assert sent == ["http.response.start"]  # and the server closes it, as it has no end


def test_an_app_that_answers_nothing_itself_is_answered_for_once() -> None:
    async def reads_on(scope: Any, receive: Any, send: Any) -> None:
        try:
            await reads_all(scope, receive, send)
        except Exception:
            for _ in range(2):  # whatever it says of it, and however often
                await send({"type": "http.response.start", "status": 400, "headers": []})
                await send({"type": "http.response.body", "body": b"cannot be read"})

    assert asgi.ask(limited(reads_on), scope_of("POST"), piece(b"a" * 11)).status == 413
