"""The OpenAPI document says all that a reader and a generator of clients need. Walked through, without a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from app.main import create_app
from app.middleware.guard import OPEN_PATHS
from app.wire.schemas import parts
from tests.app.conftest import client_of, settings

KEY = "the-only-key-there-is"
OPERATION_IDS = {
    "generate", "generate_by_query", "score", "list_models", "get_model", "create_completion", "list_openai_models",
    "get_openai_model", "get_health", "get_readiness", "get_metrics",
}  # fmt: skip
Named = tuple[str, dict[str, Any]]  # where it stands, and the thing itself


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def document(empty: Path) -> dict[str, Any]:
    return create_app(settings(empty)).openapi()


def operations(document: dict[str, Any]) -> list[Named]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def answers(document: dict[str, Any]) -> Iterator[Named]:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            yield f"{name} {status}", answer


def schemas(document: dict[str, Any]) -> Iterator[Named]:
    """Every schema of the document, each with those that stand within."""
    found = list(document["components"]["schemas"].items())
    for name, operation in operations(document):
        found += [(f"{name} {parameter['name']}", parameter["schema"]) for parameter in operation["parameters"]]
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        found += [(name, content["schema"]) for one in contents for content in one.get("content", {}).values()]
    for name, schema in found:
        for part in parts(schema):
            yield name, part


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()


def test_every_operation_has_a_name_and_says_what_it_does(document: dict[str, Any]) -> None:
    named = [operation["operationId"] for _, operation in operations(document)]
    assert sorted(named) == sorted(OPERATION_IDS)
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert tags >= set(operation["tags"]), name
    assert {tag for _, operation in operations(document) for tag in operation["tags"]} == tags


def test_everything_has_a_description(document: dict[str, Any]) -> None:
    described: list[Named] = [*document["components"]["schemas"].items(), *answers(document)]
    described += document["components"]["securitySchemes"].items()
    for name, operation in operations(document):
        described += [(f"{name} {parameter['name']}", parameter) for parameter in operation["parameters"]]
        described += [(f"{name} body", operation["requestBody"])] if "requestBody" in operation else []
    for name, answer in answers(document):
        described += [(f"{name} {header}", about) for header, about in answer.get("headers", {}).items()]
    for name, schema in document["components"]["schemas"].items():
        described += [(f"{name}.{field}", about) for field, about in schema.get("properties", {}).items()]
    assert len(described) > 200
    assert [name for name, about in described if not about.get("description")] == []
    assert document["info"]["description"]


def test_every_answer_with_a_body_has_a_schema(document: dict[str, Any]) -> None:
    for name, answer in answers(document):
        assert answer.get("content") or name.endswith(" 204"), name
        assert all(content["schema"] for content in answer.get("content", {}).values()), name


def test_no_schema_has_what_generators_stumble_over(document: dict[str, Any]) -> None:
    """Titles become classes; defaults are sent, or make a field required; a choice between one type and null becomes a
    class where there could be a type. In parameters and forms there is no null."""
    for name, schema in schemas(document):
        assert not {"title", "default"} & schema.keys(), name
        choice = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        if "anyOf" in schema:
            assert len(choice) > 1 or "$ref" in choice[0], name
    for name, operation in operations(document):
        for parameter in operation["parameters"]:
            assert "null" not in str(parameter["schema"]), (name, parameter)


def test_a_body_needs_no_more_than_its_text(document: dict[str, Any]) -> None:
    bodies = document["components"]["schemas"]
    required = {name: bodies[name].get("required") for name in ("GenerateBody", "ScoreBody", "CompletionBody")}
    assert required == {"GenerateBody": None, "ScoreBody": ["text"], "CompletionBody": ["model", "prompt"]}


def test_a_default_is_said_where_it_is_not_none(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["GenerateBody"]["properties"]
    parameters = {p["name"]: p for p in document["paths"]["/generate"]["post"]["parameters"]}
    for named in (fields, parameters):
        said = {name: re.search(r" Default: (.+)\.$", about["description"]) for name, about in named.items()}
        assert {name: found[1] for name, found in said.items() if found} == {
            "num_chars": "100", "temperature": "0", "top_p": "1", "n": "1", "unknown": '"error"',
            "return_state": "false", "stream": "false",
        }  # fmt: skip


def test_all_but_the_probes_need_a_key_where_there_are_keys(empty: Path, document: dict[str, Any]) -> None:
    guarded = create_app(settings(empty, api_keys=KEY)).openapi()
    schemes = guarded["components"]["securitySchemes"]
    assert guarded["security"] == [{name: []} for name in schemes]
    assert document["security"] == [{}, *guarded["security"]]  # a key may be sent, so that clients are the same
    for path, methods in guarded["paths"].items():
        for operation in methods.values():
            assert operation.get("security") == ([] if path in OPEN_PATHS else None)
            assert ("401" in operation["responses"]) == (path not in OPEN_PATHS)


def test_a_key_is_taken_as_each_scheme_says(empty: Path) -> None:
    with client_of(empty, api_keys=KEY) as client:
        assert client.get("/openapi.json").status_code == 401
        app: Any = client.app
        schemes = app.openapi()["components"]["securitySchemes"].values()
        headers = [{s["name"]: KEY} if s["type"] == "apiKey" else {"Authorization": f"Bearer {KEY}"} for s in schemes]
        assert [client.get("/openapi.json", headers=sent).status_code for sent in headers] == [200, 200]
        assert {s["in"] for s in schemes if s["type"] == "apiKey"} == {"header"}


def test_what_a_stream_carries_is_described(document: dict[str, Any]) -> None:
    streams = {
        name: content["text/event-stream"]["schema"]
        for name, answer in answers(document)
        if "text/event-stream" in (content := answer.get("content", {}))
    }
    assert set(streams) == {"get /generate 200", "post /generate 200", "post /v1/completions 200"}
    for schema in streams.values():
        carried = {one["$ref"].rpartition("/")[2] for one in schema["contentSchema"]["anyOf"]}
        assert carried <= set(document["components"]["schemas"])
        assert carried & {"GenerateChunk", "CompletionChunk"}


def test_it_is_made_once(empty: Path) -> None:
    app = create_app(settings(empty))
    assert app.openapi() is app.openapi()
