"""Every kind of problem there is: what its `type`, `title` and `status` are, and what its page says.

A client finds the page at the problem's `type`. `wire/problems.py` says which error is of which kind.
Long, since it is one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

PAGES = "/problems/"  # below which the pages are served


@dataclass(frozen=True)
class ProblemType:
    name: str  # the last part of `type`
    status: int
    title: str
    meaning: str
    remedy: str
    example: str  # of `detail`
    errors: tuple[Mapping[str, Any], ...] = ()  # of the example; without them such problems have none
    code: str | None = None  # OpenAI's, and what tells it from others of its status
    fields: Mapping[str, str] = field(default_factory=dict)  # of each of `errors`


_FIELD = {"field": "The field's name; 'body' for the body as a whole.", "message": "What is wrong with its value."}
_UNKNOWN = {
    **_FIELD,
    "unknown": "The characters, 1,000 at most: 'character' is one of them as the model reads it, 'positions' are the "
    "places where it stands, counted from 0, 1,000 at most.",
}

PROBLEM_TYPES = (
    ProblemType(
        "unreadable-request",
        400,
        "The request cannot be read",
        "What arrived is not a request that HTTP allows, is in another protocol, or has a body that is no JSON.",
        "Look at how the client writes its request. The port speaks plain HTTP; HTTPS needs a proxy in front.",
        "this looks like TLS; this port speaks plain HTTP",
    ),
    ProblemType(
        "invalid-api-key",
        401,
        "No API key, or a wrong one",
        "The service asks for a key, and the request has none that it knows.",
        "Send the key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'. A browser asks for it: the key is the "
        "password, the name may be anything. After ten wrong keys an address is refused for a minute.",
        "no API key, or a wrong one; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
        code="invalid_api_key",
    ),
    ProblemType(
        "foreign-page",
        403,
        "A page of another origin may not call",
        "A browser sent the request for a page that is not the service's own.",
        "Whoever runs the service can name the page's origin in NEXTCHAR_CORS_ORIGINS.",
        "Origin: 'https://example.com' may not call; NEXTCHAR_CORS_ORIGINS can allow it",
    ),
    ProblemType(
        "not-found",
        404,
        "Nothing at this address",
        "No route has the request's path.",
        "Look for a typing mistake; /docs lists the addresses. Behind a proxy the prefix may be missing or doubled.",
        "there is nothing at this address",
    ),
    ProblemType(
        "model-not-found",
        404,
        "No such model",
        "No model of the name that was given answers, or none was named and the service has no default.",
        "Take a name from GET /models.",
        "model: there is no 'poems'",
        ({"field": "model", "message": "there is no 'poems'"},),
        code="model_not_found",
        fields=_FIELD,
    ),
    ProblemType(
        "method-not-allowed",
        405,
        "The address does not take this method",
        "The path is right, the method is not.",
        "Take one of the methods that the header 'Allow' names.",
        "this address takes GET, HEAD, POST, OPTIONS",
    ),
    ProblemType(
        "request-timeout",
        408,
        "The request did not arrive in time",
        "The head or the body arrived too slowly, or stopped arriving.",
        "Send it again, over a better connection if there is one. Whoever runs the service can allow more with "
        "NEXTCHAR_HEAD_TIMEOUT_S and NEXTCHAR_BODY_TIMEOUT_S.",
        "the request's head did not arrive within 10 s",
    ),
    ProblemType(
        "other-weights",
        409,
        "The model has changed",
        "A continuation token ('state') or a Last-Event-ID belongs to weights that the model no longer has.",
        "Begin anew: send the text so far as 'prefix', without 'state' and without Last-Event-ID.",
        "state: belongs to other weights than this model has now; begin again with a prefix",
        ({"field": "state", "message": "belongs to other weights than this model has now; begin again with a prefix"},),
        fields=_FIELD,
    ),
    ProblemType(
        "body-too-large",
        413,
        "The body is too large",
        "The body has more bytes than the service reads.",
        "Send less. Whoever runs the service can allow more with NEXTCHAR_MAX_BODY_BYTES.",
        "the body is larger than 1000000 bytes",
    ),
    ProblemType(
        "address-too-long",
        414,
        "The address is too long",
        "The request's first line, which has the query in it, is longer than the service reads.",
        "Send the fields in the body of a POST.",
        "the request's first line is longer than 32768 bytes",
    ),
    ProblemType(
        "unsupported-body",
        415,
        "A body of a kind that is not read",
        "The body is not of the kind that the route reads, is compressed, or is not what its Content-Type says.",
        "Send JSON in UTF-8, uncompressed, with 'Content-Type: application/json'. The header 'Accept-Post' names "
        "what else is read.",
        "Content-Type: is missing; send application/json",
    ),
    ProblemType(
        "unknown-host",
        421,
        "Not a name of this service",
        "The request's Host is not one under which the service answers. On a loopback address only local names are, so "
        "that a page cannot reach the service by a name of its own.",
        "Use the service's own name. Whoever runs it can add names with NEXTCHAR_ALLOWED_HOSTS.",
        "Host: 'example.com' is not a name of this service; NEXTCHAR_ALLOWED_HOSTS can name it",
    ),
    ProblemType(
        "invalid-field",
        422,
        "A field cannot be used",
        "A field is missing, unknown, of another kind, out of bounds, or does not go with another one.",
        "Each of 'errors' names a field, its value and what is allowed. All fields and bounds are at /docs.",
        "num_chars: 0: Input should be greater than or equal to 1",
        ({"field": "num_chars", "message": "0: Input should be greater than or equal to 1"},),
        fields=_FIELD,
    ),
    ProblemType(
        "unknown-characters",
        422,
        "Characters that the model has never seen",
        "The text has characters that were not in the text that the model was trained on, so nothing can follow them.",
        "Take them out or write others, or send 'unknown' with 'skip', which leaves them out. By which rules the model "
        "reads, 'config' in GET /models says.",
        "the model has never seen this character: '龘' (U+9F98) at position 1",
        (
            {
                "field": "prefix",
                "message": "the model has never seen this character: '龘' (U+9F98) at position 1",
                "unknown": [{"character": "龘", "positions": [1]}],
            },
        ),
        code="unknown_characters",
        fields=_UNKNOWN,
    ),
    ProblemType(
        "too-many-requests",
        429,
        "Too many requests",
        "The key, or without keys the address, asked more often than it may, or sent too many wrong keys.",
        "Wait as many seconds as the header 'Retry-After' says.",
        "more than 60 per 1 minute; try again in 12 s",
    ),
    ProblemType(
        "queue-full",
        429,
        "The queue is full",
        "As many requests wait for the model as may, or answers take as much memory as they may.",
        "Ask again after as many seconds as the header 'Retry-After' says, and for less at once.",
        "256 continuations are waiting, and 4 more are too many",
        code="queue_full",
    ),
    ProblemType(
        "head-too-large",
        431,
        "The request's head is too large",
        "The header lines are longer than the service reads.",
        "Send fewer and shorter ones; cookies of other services on the same name are a usual cause.",
        "the request's head is larger than 32768 bytes",
    ),
    ProblemType(
        "server-error",
        500,
        "An error of the server's own",
        "Something failed that the request is not to blame for.",
        "Ask again. If it stays so, tell whoever runs the service the answer's 'X-Request-ID': the log has the cause "
        "under it.",
        "an error of the server's own; its log has the cause",
    ),
    ProblemType(
        "unsupported-coding",
        501,
        "A transfer coding that is not read",
        "The body is sent in a Transfer-Encoding other than chunked.",
        "Send it with Content-Length or in chunks, uncompressed.",
        "Transfer-Encoding: 'gzip, chunked' is not read here; chunked alone is",
    ),
    ProblemType(
        "unavailable",
        503,
        "The service cannot answer now",
        "It is starting or stopping, a model cannot be loaded or failed several times, or all connections are in use.",
        "Ask again after as many seconds as the header 'Retry-After' says. GET /readyz says what it waits for.",
        "the server is stopping",
    ),
    ProblemType(
        "timeout",
        503,
        "The answer took too long",
        "The answer was not there within the time that a request may take.",
        "Ask for fewer characters, or again when less is going on. Whoever runs the service can allow more with "
        "NEXTCHAR_REQUEST_TIMEOUT_S.",
        "the answer took longer than it may",
        code="timeout",
    ),
    ProblemType(
        "unsupported-version",
        505,
        "A version of HTTP that is not spoken",
        "The request is in another version of HTTP than 1.1 and 1.0.",
        "Use HTTP/1.1. HTTP/2 needs a proxy in front.",
        "this looks like HTTP/2; this port speaks HTTP/1.1 and HTTP/1.0",
    ),
)

_BY_CODE = {kind.code: kind for kind in PROBLEM_TYPES if kind.code}
_BY_STATUS = {kind.status: kind for kind in reversed(PROBLEM_TYPES)}  # the first of a status is its usual one
BY_NAME = {kind.name: kind for kind in PROBLEM_TYPES}


def type_of(status: int, code: str | None = None) -> ProblemType | None:
    """The kind of a problem; None for a status that no page is about."""
    return _BY_CODE.get(code or "") or _BY_STATUS.get(status)


def type_and_title(status: int, code: str | None = None, root_path: str = "") -> tuple[str, str]:
    """What a problem begins with. root_path: the prefix under which a proxy has the service."""
    kind = type_of(status, code)
    return ("about:blank", phrase(status)) if kind is None else (f"{root_path}{PAGES}{kind.name}", kind.title)


def phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Client Closed Request"
