"""Refuses a body of a kind that the route does not read: compressed, not named, or named as something else.

Browsers send a few kinds across sites without asking first; what is not meant as JSON or as a form is not guessed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.message import Message as MimeHeader

from starlette.requests import Request

from app.wire.problems import ProblemError
from model.errors import show

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def check(request: Request, kinds: Sequence[str]) -> ProblemError | None:
    """Looks at the head alone. kinds: the media types that are read."""
    is_empty = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    if is_empty:
        return None
    coding = ", ".join(request.headers.getlist("content-encoding"))
    if coding.strip().lower() not in ("", "identity"):
        detail = f"Content-Encoding: {show(coding)} is not read; send the body as it is"
        return ProblemError(415, detail, headers={"Accept-Encoding": "identity"})
    allowed = " or ".join(kinds)
    given = request.headers.get("content-type")
    if given is None:
        return ProblemError(415, f"Content-Type: is missing; send {allowed}", headers={"Accept-Post": ", ".join(kinds)})
    kind = kind_of(request)
    charset = _mime(given).get_content_charset("utf-8")
    if kind not in kinds or charset not in ("utf-8", "utf8"):
        detail = f"Content-Type: {show(given)} is not read here; send {allowed}, in UTF-8"
        return ProblemError(415, detail, headers={"Accept-Post": ", ".join(kinds)})
    return None


def kind_of(request: Request) -> str:
    """The media type of a body in small letters; JSON for every `application/…+json`."""
    header = _mime(request.headers.get("content-type", ""))
    is_json = header.get_content_maintype() == "application" and header.get_content_subtype().endswith("+json")
    return JSON if is_json else header.get_content_type()


def _mime(content_type: str) -> MimeHeader:
    header = MimeHeader()
    header["Content-Type"] = content_type
    return header
