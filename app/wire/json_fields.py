"""What the fields of every JSON body have in common: types are strict, null is the default, names are known.

Knows nothing of what the fields mean, nor of how JSON is read.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


def _allow_null(schema: dict[str, Any]) -> None:
    """Says in a JSON Schema that a field which may be left out may be null too."""
    for name, field in schema.get("properties", {}).items():
        if name in schema.get("required", ()):
            continue
        if "enum" in field:
            field["enum"] = [*field["enum"], None]
        if "anyOf" in field:
            if {"type": "null"} not in field["anyOf"]:
                field["anyOf"] = [*field["anyOf"], {"type": "null"}]
        elif "$ref" in field:
            field["anyOf"] = [{"$ref": field.pop("$ref")}, {"type": "null"}]
        elif isinstance(field.get("type"), str):
            field["type"] = [field["type"], "null"]


class JsonFields(BaseModel):
    """Base of a JSON body and of an object in it. A field that is required and null is missing."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, json_schema_extra=_allow_null
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_the_default(cls, given: Any) -> Any:
        if isinstance(given, dict) and None in given.values():
            return {name: value for name, value in given.items() if value is not None or name not in cls.model_fields}
        return given


def list_of_one(value: object) -> object:
    """A text that stands for a list of one. Raises ValueError for what is neither a text nor a list."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise ValueError("Input should be a string or a list of strings")
    return value
