from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretBytes
from starlette.requests import Request

from app.middleware.guard import CALLER
from app.serving.service import Service, caller_of, service_of
from app.settings import Settings
from tests.app.asgi import scope_of


def service() -> Service:
    absent: Any = None
    return Service(Settings(), absent, absent, SecretBytes(b"the secret of the tokens"))


def test_a_service_takes_requests_until_it_begins_to_stop() -> None:
    one = service()
    before = one.draining
    one.begin_draining()
    after = one.draining
    assert before is False
    assert after is True
    assert "secret of" not in repr(one)


def test_a_route_gets_the_service_of_its_own_app() -> None:
    first, second = service(), service()
    for each in (first, second):
        app = SimpleNamespace(state=SimpleNamespace(service=each))
        assert asyncio.run(service_of(Request({**scope_of(), "app": app}))) is each


@pytest.mark.parametrize(
    ("scope", "caller"),
    [
        ({**scope_of(), CALLER: "a key's digest"}, "a key's digest"),
        (scope_of(client=("10.0.0.7", 99)), "10.0.0.7"),
        ({**scope_of(client=("10.0.0.7", 99)), CALLER: ""}, "10.0.0.7"),
        (scope_of(client=None), ""),
    ],
)
def test_who_takes_turns_is_whom_the_guard_named_else_the_address(scope: dict[str, Any], caller: str) -> None:
    assert caller_of(Request(scope)) == caller
