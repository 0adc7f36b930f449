"""The files of the pages: ours, and those of Swagger UI, which come out of a package. Knows their bytes and their
headers, nothing of what they do.

A name is looked up among the files that were read at the start: what a client sends never reaches the file system.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from fastapi import Request, Response

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Nothing but our own files, nothing inline, no frame around us; the icon may carry its own colours.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SWAGGER_UI = ("swagger-ui-bundle.js", "swagger-ui.css")  # of the package fastapi-swagger


@dataclass(frozen=True)
class WebFile:
    content: bytes
    headers: dict[str, str]


@cache
def web_files() -> dict[str, WebFile]:
    """The files by name."""
    ours = [
        item
        for item in resources.files("app").joinpath("web").iterdir()
        if item.name.rpartition(".")[2] in CONTENT_TYPES
    ]
    swagger = resources.files("fastapi_swagger").joinpath("resources")
    found = [*ours, *(swagger.joinpath(name) for name in SWAGGER_UI)]
    return {item.name: web_file(item.name, item.read_bytes()) for item in found}


def web_file(name: str, content: bytes) -> WebFile:
    headers = {
        "Content-Type": CONTENT_TYPES[name.rpartition(".")[2]],
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        # Kept, but asked about each time: a new version is seen at once. By the browser alone: there may be keys.
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return WebFile(content, headers)


def linked(name: str, content: bytes, root: str) -> WebFile:
    """A page whose own links, which are written with `./`, begin with `root`."""
    return web_file(name, content.replace(b'="./', f'="{root}'.encode()))


@lru_cache(maxsize=16)
def page_below(name: str, root: str) -> WebFile:
    return linked(name, web_files()[name].content, root)


def root_of(request: Request) -> str:
    """How a page's own links begin. With a proxy's prefix they hold at an address with and without a slash at its end.
    Without one they are relative to the address as it was asked for: there may be a proxy that names none."""
    prefix: str = request.scope.get("root_path", "")
    asked: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return f"{prefix}/" if prefix else "../" * (asked.count(b"/") - 1) or "./"


def serve(request: Request, file: WebFile) -> Response:
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=file.headers)
    return Response(file.content, headers=file.headers)
