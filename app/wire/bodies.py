"""From a query, a form or a JSON body to checked fields. Knows nothing of what the fields mean.

A query and a form carry text, so there "10" is a number; in JSON it is not. All are read strictly: a text that was
never sent must not be continued, so what is not UTF-8 is refused and never becomes U+FFFD.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from app.wire.body_kind import JSON
from app.wire.problems import ProblemError, field_problem
from app.wire.validation import from_validation

Model = TypeVar("Model", bound=BaseModel)

MAX_PAIRS = 100  # names and values; there are fewer fields, and each pair takes time


def from_query(model: type[Model], raw: bytes, lists: Collection[str] = ()) -> Model:
    """The fields of a query string. Fields named in `lists` may come more than once."""
    return _from_pairs(model, raw, "query", lists)


def from_form(model: type[Model], raw: bytes, lists: Collection[str] = ()) -> Model:
    """The fields of a form, percent-encoded or in UTF-8 as it stands (as `curl -d 'prefix=分开'` sends it)."""
    if raw.lstrip()[:1] == b"{":
        raise ProblemError(415, f"the body is named a form and looks like JSON; send it with 'Content-Type: {JSON}'")
    return _from_pairs(model, raw, "body", lists)


def from_json(model: type[Model], raw: bytes) -> Model:
    """The fields of a JSON body, with or without a byte order mark; those of an empty one."""
    try:
        raw = raw.removeprefix(codecs.BOM_UTF8)
        return model.model_validate_json(raw) if raw else model.model_validate({})
    except ValidationError as error:
        raise from_validation(error.errors()) from None


def _from_pairs(model: type[Model], raw: bytes, what: str, lists: Collection[str]) -> Model:
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PAIRS)
    except UnicodeDecodeError:
        raise ProblemError(422, f"the {what} is not UTF-8") from None
    except ValueError:
        raise ProblemError(422, f"the {what} has more than {MAX_PAIRS} fields") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise field_problem(name[:60], "is given more than once")
        else:
            given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise from_validation(error.errors()) from None
