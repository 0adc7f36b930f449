"""Puts the app together. Nothing happens at import; what lives, lives in the lifespan."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretBytes
from starlette.middleware.cors import CORSMiddleware

from app.middleware.body_limit import BodyLimit
from app.middleware.draining import DrainGate
from app.middleware.foreign_pages import ForeignPages
from app.middleware.guard import Guard
from app.middleware.last_resort import LastResort
from app.middleware.plain_path import PlainPath
from app.middleware.request_log import RequestLog
from app.native import generate, models, score
from app.native.answers import GenerateChunk
from app.native.fields import GenerateBody, ScoreBody
from app.openai import completions as openai
from app.openai.answers import CompletionChunk
from app.openai.fields import CompletionBody
from app.operation import health
from app.operation.metrics import Metrics, ModelMetrics
from app.serving.registry import Registry
from app.serving.service import Service
from app.serving.watch import Watch
from app.settings import Settings, left_open
from app.web import docs, page, problem_pages
from app.wire import document, handlers

log = structlog.get_logger()


def create_app(settings: Settings, bound: Sequence[str] | None = None) -> FastAPI:
    """`bound`: the addresses it is served on, where the settings do not say so."""
    metrics = Metrics()
    secret = secrets.token_bytes(32) if settings.secret is None else settings.secret.get_secret_value().encode()
    registry = Registry(settings.default_model)
    watch = Watch(settings, registry, partial(ModelMetrics, metrics))
    service = Service(settings, registry, watch, SecretBytes(secret))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for sentence in left_open():
            log.warning(sentence)
        if settings.secret is None:
            log.info("no NEXTCHAR_SECRET: continuation tokens will not outlive this process")
        await watch.start()
        try:
            yield
        finally:
            service.draining = True
            await watch.stop()

    app = FastAPI(
        title="Nextchar",
        version=version("nextchar"),
        summary="Writes what would come next, with a character-level recurrent language model of your own text.",
        description=document.DESCRIPTION,
        license_info=document.LICENSE,
        openapi_tags=document.TAGS,
        lifespan=lifespan,
        docs_url=None,  # app/web/ has its own, which needs no other host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    handlers.install(app)
    figures = metrics.router()
    pages = (page.router, docs.router, problem_pages.router)
    for router in (generate.router, score.router, models.router, openai.router, health.router, figures, *pages):
        app.include_router(router)
        _add_head(app, router)
    named = (GenerateBody, ScoreBody, CompletionBody, GenerateChunk, CompletionChunk)
    document.install(app, named, needs_key=bool(settings.keys()))

    # From the inside out: the last one added sees a request first.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(DrainGate, is_draining=lambda: service.draining)
    app.add_middleware(Guard, keys=settings.keys(), rate_limit=settings.rate_limit)
    app.add_middleware(
        ForeignPages,
        bound=settings.addresses() if bound is None else bound,
        origins=settings.cors_origins,
        hosts=settings.allowed_hosts,
    )
    app.add_middleware(PlainPath, root_path=settings.root_path)
    app.add_middleware(LastResort)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
        app.add_middleware(LastResort)  # for CORS's own errors; the one above gets CORS headers for all others
    app.add_middleware(RequestLog, count=metrics.count, count_cut=metrics.count_cut)
    return app


def _add_head(app: FastAPI, router: APIRouter) -> None:
    """HEAD on whatever GET gives. The server leaves the body out; a route that works for it looks at the method."""
    for route in router.routes:
        if isinstance(route, APIRoute) and route.methods == {"GET"}:
            app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
