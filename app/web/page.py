"""The page at `/`, and the files of all pages."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.web.files import page_below, root_of, serve, web_files
from app.wire.problems import ProblemError

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    return serve(request, page_below("index.html", root_of(request)))


@router.api_route("/web/{name}", methods=["GET", "HEAD"])
async def file_of_a_page(request: Request, name: str) -> Response:
    file = web_files().get(name)
    if file is None or name.endswith(".html"):  # a page's links lead on from its own address only
        raise ProblemError(404, "there is nothing at this address")
    return serve(request, file)
