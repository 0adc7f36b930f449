"""The page at `/` and its files. Knows their bytes and their headers, nothing of what they do.

A name is looked up among the files that were read at the start: what a client sends never reaches the file system.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from fastapi import APIRouter, Request, Response

from app.wire.problems import ProblemError

router = APIRouter(include_in_schema=False)

INDEX = "index.html"
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


@dataclass(frozen=True)
class WebFile:
    content: bytes
    headers: dict[str, str]


@cache
def web_files() -> dict[str, WebFile]:
    """The package's files by name."""
    folder = resources.files("app").joinpath("web")
    return {
        item.name: _web_file(item.name, item.read_bytes())
        for item in folder.iterdir()
        if item.name.rpartition(".")[2] in CONTENT_TYPES
    }


def _web_file(name: str, content: bytes) -> WebFile:
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


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    return serve(request, page_below(request.scope.get("root_path", "")))


@lru_cache(maxsize=16)
def page_below(prefix: str) -> WebFile:
    """The page with links that begin with a proxy's prefix, which holds at the prefix itself and with a slash behind
    it. Without a prefix they are relative: there may be a proxy that names none."""
    plain = web_files()[INDEX]
    return _web_file(INDEX, plain.content.replace(b'="web/', f'="{prefix}/web/'.encode())) if prefix else plain


@router.api_route("/web/{name}", methods=["GET", "HEAD"])
async def file_of_the_page(request: Request, name: str) -> Response:
    file = web_files().get(name)
    if file is None or name == INDEX:  # its links lead on from `/` only
        raise ProblemError(404, "there is nothing at this address")
    return serve(request, file)


def serve(request: Request, file: WebFile) -> Response:
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=file.headers)
    return Response(file.content, headers=file.headers)
