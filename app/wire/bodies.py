"""From a query, a form or a JSON body to checked fields: what every route that takes some reads them with.

Knows nothing of what the fields mean. All are read strictly: a text that was never sent must not be continued, so what
is not UTF-8 is refused and never becomes U+FFFD, and of a field that is given twice none is chosen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.wire.body_kind import FORM, JSON, check, kind_of
from app.wire.problems import ProblemError, field_problem
from app.wire.scalars import misspelt
from app.wire.validation import from_errors, from_validation
from model.errors import describe, show

Model = TypeVar("Model", bound=BaseModel)

MAX_PAIRS = 100  # names and values of a query, a form or an object; there are fewer fields, and each pair takes time
_GZIP = b"\x1f\x8b"
_HALF_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SURROGATE = re.compile("[\ud800-\udfff]")


async def fields_of(
    request: Request, body: type[Model], form: type[Model] | None = None, lists: Collection[str] = ()
) -> Model:
    """The fields of a request's body: `body` says which JSON may have, `form` which a form, if it may be one.

    Raises ProblemError: 415 for a body of another kind, which is not read; 422 for what is wrong in it.
    """
    problem = check(request, (JSON,) if form is None else (JSON, FORM))
    if problem is not None:
        raise problem
    raw = await request.body()
    if form is not None and kind_of(request) == FORM:
        return from_form(form, raw, lists)
    return from_json(body, raw)


def from_query(model: type[Model], raw: bytes, lists: Collection[str] = ()) -> Model:
    """The fields of a query string. Fields named in `lists` may come more than once."""
    return _from_pairs(model, raw, "query", lists)


def from_form(model: type[Model], raw: bytes, lists: Collection[str] = ()) -> Model:
    """The fields of a form, percent-encoded or in UTF-8 as it stands (as `curl -d 'prefix=分开'` sends it)."""
    raw = _without_mark(raw)
    if raw.lstrip()[:1] == b"{":
        raise ProblemError(415, f"the body is named a form and looks like JSON; send it with 'Content-Type: {JSON}'")
    return _from_pairs(model, raw, "body", lists)


def from_json(model: type[Model], raw: bytes) -> Model:
    """The fields of a JSON body, with or without a byte order mark; those of an empty one."""
    text = _decoded(_without_mark(raw), "body")
    try:
        given = _DECODER.decode(text) if text else {}
        if "\\u" in text:
            _refuse_surrogates(given)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise field_problem("body", f"is not JSON: {error.msg[:1].lower()}{error.msg[1:]} ({where})") from None
    except RecursionError:
        raise field_problem("body", "is nested too deep") from None
    except ValueError:  # Python's own bound of what it makes an integer of
        raise field_problem("body", "has a number of too many digits") from None
    return _validated(model, given)


def _without_mark(raw: bytes) -> bytes:
    """Without the byte order mark. Raises ProblemError 415 for an encoding that is none of JSON's on the web."""
    if raw[:2].isascii() and b"\0" not in raw[:4]:  # most bodies, at once
        return raw
    encoding = json.detect_encoding(raw)
    if not encoding.startswith("utf-8"):
        raise ProblemError(415, f"the body looks like {encoding.upper()[:6]}; send it in UTF-8")
    if raw.startswith(_GZIP):
        raise ProblemError(415, "the body is compressed with gzip; send it as it is")
    return raw[3:] if encoding == "utf-8-sig" else raw


def _decoded(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ProblemError(422, f"the {what} is not UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which every name stands once."""
    if len(pairs) > MAX_PAIRS:
        raise ProblemError(422, f"the body has more than {MAX_PAIRS} fields")
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _given_twice(next(name for name in names if names.count(name) > 1))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _given_twice(name: str) -> ProblemError:
    return field_problem(name[:60], "is given more than once")


def _refuse_surrogates(given: object) -> None:
    """JSON can name half of a surrogate pair (`"\\ud83d"`); that is not a character, and UTF-8 cannot hold it."""
    for name, value in given.items() if isinstance(given, dict) else [("body", given)]:
        half = _lone_surrogate(name) or _lone_surrogate(value)
        if half is not None:
            field = show(name[:60]).strip("'")
            which = f"{describe(half)}, which is half of a character"
            raise field_problem(field, f"has a lone surrogate, {which}; such escapes stand in pairs")


def _lone_surrogate(value: object) -> str | None:
    if isinstance(value, str):
        found = _SURROGATE.search(value)
        return found[0] if found else None
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((half for half in map(_lone_surrogate, parts) if half is not None), None)


def _from_pairs(model: type[Model], raw: bytes, what: str, lists: Collection[str]) -> Model:
    if _HALF_ESCAPE.search(raw):
        raise ProblemError(422, f"the {what} has a % without two hexadecimal digits behind it; % itself is written %25")
    try:
        pairs = parse_qsl(_decoded(raw, what), keep_blank_values=True, errors="strict", max_num_fields=MAX_PAIRS)
    except UnicodeDecodeError:
        raise ProblemError(422, f"the {what} is not UTF-8") from None
    except ValueError:
        raise ProblemError(422, f"the {what} has more than {MAX_PAIRS} fields") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise _given_twice(name)
        else:
            given[name] = value
    errors = misspelt(model, given)
    if errors:
        raise from_errors(errors)
    return _validated(model, given)


def _validated(model: type[Model], given: object) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False)) from None
