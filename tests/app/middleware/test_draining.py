from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.middleware.draining import ALWAYS, DrainGate
from tests.app.asgi import Inside, ask, passes_what_is_not_http, scope_of
from tests.app.conftest import client_of, service_behind


def test_what_is_not_http_passes_while_it_is_stopping() -> None:
    passes_what_is_not_http(lambda inside: DrainGate(inside, lambda: True))


@pytest.mark.parametrize("path", ["/models", "/v1/models", "/nothing/here"])
def test_a_request_passes_unchanged_until_it_is_stopping_and_is_then_told_to_go(path: str) -> None:
    inside, stopping = Inside(), [False]
    draining = DrainGate(inside, lambda: stopping[-1])
    scope = scope_of(path=path)
    assert ask(draining, scope).body == b"inside"
    assert inside.calls[0][0] is scope
    stopping.append(True)
    refused = ask(draining, scope)
    assert (refused.status, len(inside.calls)) == (503, 1)
    assert (refused.headers["connection"], refused.headers["retry-after"]) == ("close", "5")
    body = json.loads(refused.body)
    assert "stopping" in (body["error"]["message"] if path.startswith("/v1/") else body["detail"])
    if path.startswith("/v1/"):
        assert (body["error"]["type"], body["error"]["code"]) == ("server_error", "stopping")


@pytest.mark.parametrize("path", sorted(ALWAYS))
def test_operators_see_it_drain(path: str) -> None:
    assert ask(DrainGate(Inside(), lambda: True), scope_of(path=path)).body == b"inside"


def test_once_it_is_stopping_nothing_new_is_taken_but_what_operators_look_at(models_dir: Path) -> None:
    with client_of(models_dir) as client:
        service_behind(client).draining = True
        for path in ("/generate?prefix=a", "/models", "/", "/nothing/here"):
            refused = client.get(path)
            assert (refused.status_code, refused.headers["connection"]) == (503, "close"), path
            assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/v1/models").json()["error"]["code"] == "stopping"
        for path in ("/", "*"):  # a balancer that asks so sends nobody here any more
            assert client.request("OPTIONS", path).status_code == 503
        assert client.get("/healthz/").status_code == 200
        assert client.get("/healthz").status_code == client.get("/metrics").status_code == 200
        assert client.get("/readyz").json()["status"] == "stopping"
