"""What pydantic found wrong, as sentences."""

from __future__ import annotations

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
        else:
            message = f"{show(item.get('input'))}: {item['msg'].removeprefix('Value error, ')}"
        errors.append({"field": field, "message": message})
    detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors[:3])
    return ProblemError(422, detail, errors=errors)
