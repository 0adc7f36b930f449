"""What `/healthz`, `/readyz` and `/metrics` answer over sockets stands in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from tests.app.conftest import Server

KEY = "a-key-of-more-than-sixteen-characters"
PATHS = ("/healthz", "/readyz", "/metrics")


@pytest.fixture(scope="module")
def unready(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Has a key, and no model of the default's name."""
    folder = tmp_path_factory.mktemp("unready")
    with (
        Server(folder, models_dir, NEXTCHAR_API_KEYS=KEY, NEXTCHAR_DEFAULT_MODEL="absent") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


def check(document: dict[str, Any], path: str, answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    declared = document["paths"][path]["get"]["responses"][str(status)]
    kind = answer.headers["content-type"].partition(";")[0]
    schema = declared["content"][kind]["schema"]
    assert schema, "a schema that takes anything says nothing"
    body = answer.json() if kind.endswith("json") else answer.text
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
    assert list(validator.iter_errors(body)) == []
    for name in declared.get("headers", {}):
        assert name in answer.headers
    if kind.endswith("json"):
        named = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert set(body) <= set(named["properties"]), "every field is named"


def test_what_is_answered_with_200(http: httpx.Client, document: dict[str, Any]) -> None:
    for path in PATHS:
        check(document, path, http.get(path), 200)
    check(document, "/metrics", http.get("/metrics", headers={"Accept": "application/openmetrics-text"}), 200)
    assert set(document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == {
        "text/plain",
        "application/openmetrics-text",
    }


def test_what_is_not_ready(unready: httpx.Client, document: dict[str, Any]) -> None:
    check(document, "/readyz", unready.get("/readyz"), 503)
    assert unready.get("/readyz").json()["problems"] == {"absent": "is the default model and is not there"}


def test_what_is_refused(http: httpx.Client, unready: httpx.Client, document: dict[str, Any]) -> None:
    for path in PATHS:
        check(document, path, http.get(path, headers={"Origin": "http://elsewhere.example"}), 403)
    check(document, "/metrics", http.get("/metrics", headers={"Host": "elsewhere.example"}), 421)
    check(document, "/metrics", unready.get("/metrics"), 401)
