"""docs/http.md describes every field and every key of an answer, with bounds and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.native.answers import CharacterLogprob, CharacterScore, GenerateAnswer, ScoreAnswer, Timing
from app.native.fields import GenerateFields, ScoreBody
from app.native.models import ModelCard, ModelWithVersions, VersionCard
from app.openai.answers import Completion, CompletionChoice
from app.openai.fields import CompletionBody
from app.operation.health import Readiness
from app.scheduling.requests import MAX_INTEGER
from app.wire.openapi import FieldError, OpenAIError, Problem
from app.wire.problems import from_domain
from model.errors import UnknownCharactersError
from model.sampling.options import MAX_TEMPERATURE, MIN_TEMPERATURE
from tests.contract.pages import HTTP, names, number, plain, table

KINDS: dict[Any, str] = {
    str: "text",
    Literal: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list: "list of texts",
}
# What validators allow beside a field's own bounds.
NARROWER = {
    "temperature": f"0, {MIN_TEMPERATURE} … {MAX_TEMPERATURE:g}",
    "presence_penalty": "0",
    "frequency_penalty": "0",
}


def span(low: Any, high: Any) -> str:
    return f"{number(low)} … {number(high)}" if None not in (low, high) else f"at least {number(low)}"


def allowed(kind: Any, bound: Mapping[str, Any]) -> str:
    """bound: by pydantic's names; one that no request reaches is left out."""
    least, most = bound.get("min_length"), bound.get("max_length")
    if get_origin(kind) is list:
        of_each = [span(text.min_length, text.max_length) for text in getattr(get_args(kind)[0], "__metadata__", ())]
        count = span(least, most) if least else f"up to {most}"
        return ", each of ".join([count, *(f"{lengths} characters" for lengths in of_each)])
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "true, false"
    if kind is str:
        return f"at least {least} character" if least else f"up to {most} characters" if most else "any"
    if "gt" in bound:
        return f"above {number(bound['gt'])}, up to {number(bound['le'])}"
    return span(bound.get("ge"), bound.get("le")) if bound else ", ".join(f"`{name}`" for name in kind.model_fields)


def kind_of(annotation: Any) -> Any:
    """Without None, a name of its own and notes."""
    if hasattr(annotation, "__value__"):
        return kind_of(annotation.__value__)
    return kind_of(get_args(annotation)[0]) if get_origin(annotation) in (UnionType, Union, Annotated) else annotation


def described(name: str, field: FieldInfo) -> list[str]:
    """A field's row, up to its meaning."""
    kind = kind_of(field.annotation)
    found = {key: value for one in field.metadata for key, value in asdict(one).items() if value != MAX_INTEGER}
    kind_name = KINDS.get(get_origin(kind) or kind, "object")
    if field.is_required() or field.default in (None, []):
        default = "required" if field.is_required() else "–"
    else:
        is_number = type(field.default) in (int, float)
        default = number(field.default) if is_number else str(field.default).lower()
    return [name, kind_name, plain(NARROWER.get(name) or allowed(kind, found)), default]


@pytest.mark.parametrize(
    ("route", "body"), [("/generate", GenerateFields), ("/score", ScoreBody), ("/v1/completions", CompletionBody)]
)
def test_every_field_is_described_with_its_bounds_and_its_default(route: str, body: type[BaseModel]) -> None:
    rows = [row[:4] for row in table(HTTP, f"field of `{route}`")]
    assert rows == [described(name, field) for name, field in body.model_fields.items()]


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("in the answer", GenerateAnswer),
        ("in `timing`", Timing),
        ("in each of `logprobs`", CharacterLogprob),
        ("in the scores", ScoreAnswer),
        ("in each of `characters`", CharacterScore),
        ("in a model", ModelCard),
        ("in each of `versions`", VersionCard),
        ("in a completion", Completion),
        ("in each of `choices`", CompletionChoice),
        ("in a problem", Problem),
        ("in `error`", OpenAIError),
        ("in `/readyz`", Readiness),
    ],
)
def test_every_key_of_an_answer_is_described(title: str, body: type[BaseModel]) -> None:
    assert names(HTTP, title) == sorted(body.model_fields)


def test_one_model_has_the_keys_of_the_list_and_those_that_are_described_apart() -> None:
    assert names(HTTP, "in one model") == sorted(ModelWithVersions.model_fields.keys() - ModelCard.model_fields.keys())


def test_every_key_of_an_error_is_described() -> None:
    unknown = from_domain(UnknownCharactersError({"a": [0]})).errors[0]
    assert names(HTTP, "in each of `errors`") == sorted(FieldError.model_fields.keys() | unknown.keys())
    assert names(HTTP, "in each of `unknown`") == sorted(unknown["unknown"][0])
