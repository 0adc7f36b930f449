"""The page at `/docs`. Swagger UI, which it shows the OpenAPI document with, is a file among the others."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.web.files import page_below, root_of, serve

router = APIRouter(include_in_schema=False)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def documentation(request: Request) -> Response:
    return serve(request, page_below("docs.html", root_of(request)))
