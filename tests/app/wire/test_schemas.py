from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.wire.schemas import Absent, parts, plain, query_parameters


class Inner(BaseModel):
    title: str = Field("x", description="A field may be called so.")


class Fields(BaseModel):
    count: int | None = Field(None, ge=1, description="How many.")
    share: float = Field(0.5, description="How much.")
    which: Literal["a", "b"] | None = None
    names: list[str] = Field([], description="Which.")
    either: int | list[int] | None = None
    inner: Inner | None = None
    left_out: list[Inner] | Absent = None


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    plain(schema)
    return schema


def test_a_type_that_may_be_null_is_one_type() -> None:
    fields = schema_of(Fields)["properties"]
    assert fields["count"] == {"type": ["integer", "null"], "minimum": 1, "description": "How many."}
    assert fields["which"] == {"type": ["string", "null"], "enum": ["a", "b", None]}
    assert [one.get("type") for one in fields["either"]["anyOf"]] == ["integer", "array", "null"]
    assert fields["inner"] == {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]}
    assert fields["left_out"] == {"type": "array", "items": {"$ref": "#/$defs/Inner"}}


def test_a_default_is_in_the_description_alone() -> None:
    schema = schema_of(Fields)
    assert schema["properties"]["share"] == {"type": "number", "description": "How much. Default: 0.5."}
    assert schema["properties"]["names"]["description"] == "Which."
    inner = schema["$defs"]["Inner"]["properties"]
    assert inner == {"title": {"type": "string", "description": 'A field may be called so. Default: "x".'}}


def test_a_parameter_is_never_null() -> None:
    class Asked(BaseModel):
        count: int | None = Field(None, ge=1, description="How many.")
        share: float = Field(0.5, description="How much.")

    assert query_parameters(Asked) == [
        {"name": "count", "in": "query", "description": "How many.", "schema": {"type": "integer", "minimum": 1}},
        {"name": "share", "in": "query", "description": "How much. Default: 0.5.", "schema": {"type": "number"}},
    ]


def test_every_schema_within_is_found() -> None:
    inner: dict[str, Any] = {"type": "string"}
    for keyword in ("items", "additionalProperties", "contentSchema"):
        assert list(parts({keyword: inner})) == [{keyword: inner}, inner]
    for keyword in ("anyOf", "allOf", "oneOf"):
        assert list(parts({keyword: [inner]}))[1:] == [inner]
    for keyword in ("properties", "$defs"):
        assert list(parts({keyword: {"anyOf": inner}}))[1:] == [inner]
    assert list(parts({"additionalProperties": False})) == [{"additionalProperties": False}]
