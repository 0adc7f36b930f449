from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from app.wire.json_fields import JsonFields, list_of_one


class Inner(JsonFields):
    flag: bool = True


class Fields(JsonFields):
    name: str
    count: int = Field(3, ge=1)
    share: float | None = 0.5
    which: Literal["a", "b"] = "a"
    inner: Inner = Inner()
    names: list[str] = Field([])

    @field_validator("names", mode="before", json_schema_input_type=str | Annotated[list[str], Field(max_length=2)])
    @classmethod
    def _one(cls, value: object) -> object:
        return list_of_one(value)


def test_null_is_the_default_of_a_field_that_has_one_and_was_not_given() -> None:
    nothing = dict.fromkeys(["count", "share", "which", "inner", "names"])
    read = Fields.model_validate({"name": "x", **nothing})
    assert read == Fields(name="x")
    assert read.model_fields_set == {"name"}
    assert Fields.model_validate({"name": "x", "inner": {"flag": None}}).inner.flag


@pytest.mark.parametrize(
    ("given", "kind", "place"),
    [
        ({"name": None}, "missing", ("name",)),
        ({"name": "x", "nme": None}, "extra_forbidden", ("nme",)),
        ({"name": "x", "names": [None]}, "string_type", ("names", 0)),
        ({"name": "x", "names": 7}, "value_error", ("names",)),
        ({"name": "x", "inner": {"flg": None}}, "extra_forbidden", ("inner", "flg")),
        (None, "model_type", ()),
    ],
)
def test_elsewhere_null_is_what_it_was(given: Any, kind: str, place: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        Fields.model_validate(given)
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [(kind, place)]


def test_the_schema_says_where_null_is_allowed() -> None:
    fields = Fields.model_json_schema()["properties"]
    assert fields["name"]["type"] == "string"
    assert (fields["count"]["type"], fields["count"]["minimum"]) == (["integer", "null"], 1)
    assert fields["share"]["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert fields["which"]["enum"] == ["a", "b", None]
    assert fields["names"]["anyOf"][-1] == {"type": "null"}
    assert {"type": "null"} in fields["inner"]["anyOf"]
