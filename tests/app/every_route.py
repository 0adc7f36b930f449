"""Every route of the app, with a request that it answers: what must hold for all of them is tested on all of them.

A new route without an example here fails test_every_route.py, so that it cannot be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

EXAMPLES: Mapping[tuple[str, str], tuple[str, dict[str, Any] | None]] = MappingProxyType(
    {  # method and the route's pattern ↦ what is asked for, of a service whose models are those of conftest.py
        ("GET", "/generate"): ("/generate?prefix=a&num_chars=3", None),
        ("POST", "/generate"): ("/generate", {"prefix": "a", "num_chars": 3}),
        ("POST", "/score"): ("/score", {"text": "ab"}),
        ("GET", "/models"): ("/models", None),
        ("GET", "/models/{name}"): ("/models/tiny", None),
        ("POST", "/v1/completions"): ("/v1/completions", {"model": "tiny", "prompt": "a", "max_tokens": 3}),
        ("GET", "/v1/models"): ("/v1/models", None),
        ("GET", "/v1/models/{name}"): ("/v1/models/tiny", None),
        ("GET", "/healthz"): ("/healthz", None),
        ("GET", "/readyz"): ("/readyz", None),
        ("GET", "/metrics"): ("/metrics", None),
        ("GET", "/"): ("/", None),
        ("GET", "/web/{name}"): ("/web/main.js", None),
        ("GET", "/docs"): ("/docs", None),
        ("GET", "/problems"): ("/problems", None),
        ("GET", "/problems/{name}"): ("/problems/invalid-field", None),
        ("GET", "/openapi.json"): ("/openapi.json", None),
    }
)


@dataclass(frozen=True)
class Example:
    """body: of a POST, as JSON."""

    method: str
    route: str
    target: str
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.route}"

    def raw(self, *lines: str, version: str = "1.1", body: bytes | None = None) -> bytes:
        """The request as bytes, with these header lines besides; `Host`, type and length of the body are there."""
        sent = self.body if body is None else body
        head = [f"{self.method} {self.target} HTTP/{version}", "Host: localhost", *lines]
        if sent:
            head += ["Content-Type: application/json", f"Content-Length: {len(sent)}"]
        return "\r\n".join([*head, "", ""]).encode() + sent


def examples(app: FastAPI) -> Iterator[Example]:
    """One of every method and route, HEAD left out. Raises KeyError for a route that has none."""
    for route in _routes(app.routes):
        for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
            target, body = EXAMPLES[method, route.path]
            yield Example(method, route.path, target, b"" if body is None else json.dumps(body).encode())


def _routes(given: Sequence[Any]) -> Iterator[Route]:
    """Those of included routers too, which FastAPI keeps as they were given."""
    for route in given:
        if isinstance(route, Route):
            yield route
        else:
            yield from _routes(route.original_router.routes)
