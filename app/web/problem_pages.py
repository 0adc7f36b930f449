"""The pages that the `type` of a problem leads to, made of the table in `app/wire/problem_types.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from html import escape
from http import HTTPStatus
from string import Template

from fastapi import APIRouter, Request, Response

from app.web.files import WebFile, linked, root_of, serve, web_files
from app.wire.problem_types import BY_NAME, PAGES, PROBLEM_TYPES, ProblemType
from app.wire.problems import ProblemError, problem_body

router = APIRouter(include_in_schema=False)

shown = partial(escape, quote=False)  # as text; nothing of the table stands in an attribute


@router.api_route(PAGES.rstrip("/"), methods=["GET", "HEAD"])
async def problems(request: Request) -> Response:
    return serve(request, page_of_all(root_of(request)))


@router.api_route(PAGES + "{name}", methods=["GET", "HEAD"])
async def problem(request: Request, name: str) -> Response:
    if name not in BY_NAME:
        raise ProblemError(404, "there is nothing at this address")
    return serve(request, page_about(name, root_of(request), request.scope.get("root_path", "")))


@lru_cache(maxsize=16)
def page_of_all(root: str) -> WebFile:
    lines = [
        f'<li><a href=".{PAGES}{kind.name}">{shown(kind.title)}</a> <span>{kind.status}</span></li>'
        for kind in PROBLEM_TYPES
    ]
    body = (
        "<h1>Problems</h1>"
        "<p>An error is answered as RFC 9457 has it: <code>type</code> is the address of one of these pages, "
        "<code>detail</code> says what was wrong with this request. Under <code>/v1</code> errors have "
        f'the shape of OpenAI\'s API.</p><ul class="kinds">{"".join(lines)}</ul>'
    )
    return _page("Problems", body, root)


@lru_cache(maxsize=256)
def page_about(name: str, root: str, root_path: str) -> WebFile:
    kind = BY_NAME[name]
    fields = f"<h2>Each of <code>errors</code></h2>{_fields(kind.fields)}" if kind.fields else ""
    body = (
        f'<p class="eyebrow">{kind.status} {HTTPStatus(kind.status).phrase}</p><h1>{shown(kind.title)}</h1>'
        f"<p>{shown(kind.meaning)}</p><h2>What to do</h2><p>{shown(kind.remedy)}</p>{fields}"
        f"<h2>An example</h2><pre>{shown(_example(kind, root_path))}</pre>"
        f'<p class="on"><a href="./problems">All problems</a></p>'
    )
    return _page(kind.title, body, root)


def _fields(fields: Mapping[str, str]) -> str:
    items = (f"<div><dt><code>{name}</code></dt><dd>{shown(about)}</dd></div>" for name, about in fields.items())
    return f"<dl>{''.join(items)}</dl>"


def _example(kind: ProblemType, root_path: str) -> str:
    problem = ProblemError(kind.status, kind.example, errors=kind.errors, code=kind.code)
    return json.dumps(problem_body(problem, root_path), ensure_ascii=False, indent=2)


def _page(title: str, body: str, root: str) -> WebFile:
    template = Template(web_files()["problem.html"].content.decode())
    return linked("problem.html", template.substitute(title=shown(title), body=body).encode(), root)
