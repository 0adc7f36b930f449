"""What pydantic found wrong, as sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.wire.problems import ProblemError
from model.errors import show

MAX_FIELD_ERRORS = 20


def from_validation(items: Sequence[Mapping[str, Any]]) -> ProblemError:
    """Pydantic's findings as sentences that name the field, the value and what is allowed."""
    errors = []
    for item in items[:MAX_FIELD_ERRORS]:
        place = [part for part in item["loc"] if part not in ("query", "body")]
        field = ".".join(show(part).strip("'") for part in place) or "body"
        if item["type"] == "extra_forbidden":
            message = "there is no such field"
        elif item["type"] == "json_invalid":
            field, message = "body", f"is not JSON: {item['ctx']['error']}"
        elif item["type"] == "missing":
            message = "is missing"
        elif item["type"] == "model_type":  # pydantic names our class
            message = f"{_shown(item.get('input'))}: Input should be an object"
        else:
            message = f"{_shown(item.get('input'))}: {item['msg'].removeprefix('Value error, ')}"
        errors.append({"field": field, "message": message})
    return from_errors(errors)


def from_errors(errors: Sequence[Mapping[str, Any]]) -> ProblemError:
    """errors: as of a ProblemError; the first of them are its detail."""
    detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors[:3])
    return ProblemError(422, detail, errors=errors)


def _shown(value: object) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else show(value)
