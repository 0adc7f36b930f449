from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.routing import BaseRoute, Mount, Route

from app.security import OPEN_PATHS
from tests.app.conftest import client_of


@pytest.fixture(scope="module")
def guarded(models_dir: Path) -> Iterator[TestClient]:
    with client_of(models_dir, api_keys="first-key,second-key") as client:
        yield client


def paths_of(routes: list[BaseRoute]) -> set[str]:
    paths: set[str] = set()
    for route in routes:
        path = getattr(route, "path", "")
        if isinstance(route, Mount):
            paths |= {path + inner for inner in paths_of(list(route.routes or []))} | {path + "/x"}
        elif isinstance(route, Route) or path:
            paths.add(path)
    return paths


def test_every_route_but_the_probes_needs_a_key(guarded: TestClient) -> None:
    schema_paths = set(guarded.app.openapi()["paths"])  # type: ignore[attr-defined]
    paths = paths_of(guarded.app.routes) | schema_paths | {"/docs", "/openapi.json", "/", "/nothing/here"}  # type: ignore[attr-defined]
    assert {"/generate", "/score", "/models", "/v1/completions", "/metrics", "/healthz"} <= paths
    for path in paths:
        for method in ("GET", "POST"):
            status = guarded.request(method, path.replace("{name}", "tiny").replace("{file}", "x")).status_code
            assert (status != 401) if path in OPEN_PATHS else (status == 401), (method, path, status)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Authorization": "Bearer first-key"}, True),
        ({"Authorization": "bearer second-key"}, True),
        ({"X-API-Key": "second-key"}, True),
        ({"Authorization": "Basic " + base64.b64encode(b"me:first-key").decode()}, True),
        ({"Authorization": "Basic " + base64.b64encode(b"me:other").decode()}, False),
        ({"Authorization": "Basic !!!"}, False),
        ({"Authorization": "Bearer first-ke"}, False),
        ({"Authorization": "Bearer "}, False),
        ({"Authorization": "first-key"}, False),
        ({"X-API-Key": "first-key,second-key"}, False),
    ],
)
def test_a_key_is_taken_whole_or_not_at_all(guarded: TestClient, headers: dict[str, str], allowed: bool) -> None:
    response = guarded.get("/models", headers=headers)
    assert response.status_code == (200 if allowed else 401)
    if not allowed:
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"


def test_a_browser_that_opens_the_page_is_asked_for_the_key(guarded: TestClient) -> None:
    assert guarded.get("/").headers["www-authenticate"].startswith("Basic")


def test_without_keys_everybody_is_served(client: TestClient) -> None:
    assert client.get("/models").status_code == 200


def test_a_key_that_asks_too_often_is_429_and_another_is_not(models_dir: Path) -> None:
    with client_of(models_dir, api_keys="a-key,b-key", rate_limit="3/hour") as client:
        statuses = [client.get("/models", headers={"X-API-Key": "a-key"}).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert client.get("/models", headers={"X-API-Key": "b-key"}).status_code == 200
        limited = client.get("/models", headers={"X-API-Key": "a-key"})
        assert 1 <= int(limited.headers["retry-after"]) <= 3600
        assert client.get("/readyz").status_code == 200
        assert client.get("/web/main.js", headers={"X-API-Key": "a-key"}).status_code == 200


def test_other_origins_are_allowed_only_when_named(client: TestClient, models_dir: Path) -> None:
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.get("/models", headers=preflight).headers
    with client_of(models_dir, cors_origins="https://a.example", api_keys="a-key") as other:
        answer = other.options("/generate", headers=preflight)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        stranger = other.options("/generate", headers={**preflight, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers
