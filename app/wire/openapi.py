"""What the OpenAPI document says of problems."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class FieldError(BaseModel):
    model_config = ConfigDict(extra="allow")

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What to declare in the OpenAPI document for a route that can answer these."""
    schema = {"$ref": "#/components/schemas/Problem"}
    described = {
        400: "Not a request that can be read",
        401: "No key, or a wrong one",
        403: "A page of an origin that may not call",
        404: "No such model",
        409: "A continuation token, or a Last-Event-ID, of other weights",
        413: "The body is too large",
        415: "A body of a kind that is not read",
        422: "A field is out of bounds, or a character is unknown",
        429: "Too many requests",
        503: "Not ready, or stopping",
    }
    return {
        status: {"description": described[status], "content": {"application/problem+json": {"schema": schema}}}
        for status in statuses
    }
