"""What the OpenAPI document says holds for requests made up from it, good and bad, sent to a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.app.conftest import Server, client_of

OPERATIONS = [
    ("GET", "/generate"),
    ("POST", "/generate"),
    ("POST", "/score"),
    ("GET", "/models"),
    ("GET", "/models/{name}"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{name}"),
    ("POST", "/v1/completions"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
]


CASES = [(method, path, "positive") for method, path in OPERATIONS]
# Only these have fields that can be wrong.
CASES += [(method, path, "negative") for method, path in [*OPERATIONS[:3], ("POST", "/v1/completions")]]


@pytest.mark.parametrize(("method", "path", "mode"), CASES, ids=[" ".join(case) for case in CASES])
def test_no_request_made_up_from_the_document_is_a_500(server: Server, method: str, path: str, mode: str) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operation = schema[path][method]

    @settings(max_examples=12, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
    def sends(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=server.url)
        assert response.status_code < 500, response.text
        if response.status_code == 422:
            assert response.headers["content-type"] == ["application/problem+json"]
            assert response.json()["detail"]

    sends()


def test_every_operation_of_the_document_is_tried_above(server: Server) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tried = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        tried.add((operation.method.upper(), operation.path))
    assert tried == set(OPERATIONS)


def test_the_document_names_every_field_with_its_bounds(models_dir: Path) -> None:
    with client_of(models_dir) as client:
        document = client.get("/openapi.json").json()
    fields = document["components"]["schemas"]["GenerateBody"]["properties"]
    assert fields["num_chars"]["minimum"] == 1
    assert fields["n"]["maximum"] == 16
    parameters = {p["name"]: p for p in document["paths"]["/generate"]["get"]["parameters"]}
    assert parameters["temperature"]["schema"]["maximum"] == 5
    assert set(fields) | {"Last-Event-ID", "X-Request-ID"} == set(parameters)
    assert document["components"]["schemas"]["Problem"]["properties"]["detail"]["type"] == "string"
    assert "application/problem+json" in document["paths"]["/generate"]["post"]["responses"]["422"]["content"]
