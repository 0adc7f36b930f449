"""JSON Schemas of what may be asked and answered, as generators of clients read them best.

A generator makes a class of each `title`, and some send every `default` or make
its field required: so a schema has neither, and the description says the default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

Schema = dict[str, Any]
Absent = SkipJsonSchema[None]  # beside the type of an answer's field that is left out where there is nothing to say
REFERENCE = "#/components/schemas/{model}"
NULL: Schema = {"type": "null"}


def plain(schema: Schema) -> None:
    """Takes out titles and defaults; a type that may be null becomes one type, not a choice of two."""
    for part in parts(schema):
        part.pop("title", None)
        if "default" in part:
            _say_default(part, part.pop("default"))
        if "anyOf" in part:
            _join_null(part)


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """The fields of a model as parameters of an operation. None may be null: a query carries text."""
    fields = model.model_json_schema(ref_template=REFERENCE)["properties"]
    for field in fields.values():
        choice = [one for one in field.get("anyOf", ()) if one != NULL]
        if len(choice) == 1:
            del field["anyOf"]
            field.update(choice[0])
        plain(field)
    return [
        {"name": name, "in": "query", "description": field.pop("description"), "schema": field}
        for name, field in fields.items()
    ]


def parts(schema: Schema) -> Iterator[Schema]:
    """The schema and all schemas within."""
    yield schema
    for keyword in ("properties", "$defs"):
        for inner in schema.get(keyword, {}).values():
            yield from parts(inner)
    for keyword in ("anyOf", "allOf", "oneOf"):
        for inner in schema.get(keyword, ()):
            yield from parts(inner)
    for keyword in ("items", "additionalProperties", "contentSchema"):
        if isinstance(schema.get(keyword), dict):
            yield from parts(schema[keyword])


def _say_default(schema: Schema, default: Any) -> None:
    if default is None or default == []:
        return
    said = f"{default:g}" if isinstance(default, float) else json.dumps(default)
    schema["description"] = f"{schema.get('description', '')} Default: {said}.".lstrip()


def _join_null(schema: Schema) -> None:
    choice = [one for one in schema["anyOf"] if one != NULL]
    if len(choice) == 1 and len(schema["anyOf"]) == 2 and isinstance(choice[0].get("type"), str):
        del schema["anyOf"]
        schema.update({**choice[0], "type": [choice[0]["type"], "null"]})
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
