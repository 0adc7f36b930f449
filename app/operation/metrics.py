"""What operators watch, in Prometheus' terms. One registry per app, so that two apps in one process do not mix.

Names follow those of other text-generation servers with `nextchar` in front, and characters where they count tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from app.scheduling.observer import Observer

# A step takes tens of microseconds, a long text behind a queue a minute.
SECONDS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        seconds = partial(Histogram, registry=self.registry, buckets=SECONDS)

        self.requests = counter("nextchar_request_count", "HTTP requests answered.", ["route", "method", "status"])
        self.cut = counter("nextchar_answers_cut", "Answers that ended before they were whole.", ["route", "by"])
        self.request_seconds = seconds("nextchar_request_duration_seconds", "Whole HTTP request.", ["route"])
        self.waiting = gauge("nextchar_num_requests_waiting", "Continuations in the queue.", ["model"])
        self.running = gauge("nextchar_num_requests_running", "Continuations being decoded.", ["model"])
        self.batch_size = Histogram(
            "nextchar_batch_size", "Rows of one engine call.", ["model"], buckets=ROWS, registry=self.registry
        )
        self.queue_seconds = seconds(
            "nextchar_request_queue_time_seconds", "From arrival to the first step.", ["model"]
        )
        self.first_char_seconds = seconds(
            "nextchar_time_to_first_char_seconds", "From arrival to the first character.", ["model"]
        )
        self.char_seconds = seconds(
            "nextchar_time_per_output_char_seconds", "A continuation's decoding time over its characters.", ["model"]
        )
        self.chars_read = counter("nextchar_prompt_chars", "Characters of prefixes read.", ["model"])
        self.chars_written = counter("nextchar_generation_chars", "Characters written.", ["model"])
        self.cache_hits = counter("nextchar_prefix_cache_hits", "Prefixes resumed from a kept state.", ["model"])
        self.cache_misses = counter("nextchar_prefix_cache_misses", "Prefixes read from the start.", ["model"])
        self.cancelled = counter("nextchar_requests_cancelled", "Continuations given up by the client.", ["model"])
        self.failures = counter("nextchar_step_failures", "Engine calls that failed.", ["model"])
        self.info = Info("nextchar_model", "What serves under a name.", ["model"], registry=self.registry)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request that has ended."""
        self.requests.labels(route, method, status).inc()
        self.request_seconds.labels(route).observe(seconds)

    def count_cut(self, route: str, by: str) -> None:
        """An answer that ended before it was whole. by: "error" or "client"."""
        self.cut.labels(route, by).inc()

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def router(self) -> APIRouter:
        """`/metrics`, of this registry."""
        router = APIRouter(tags=["operation"])

        @router.get("/metrics")
        async def metrics() -> Response:
            """Prometheus text."""
            return Response(self.exposition(), media_type=CONTENT_TYPE_LATEST)

        return router


class ModelMetrics(Observer):
    """What the scheduler of one model tells, as metrics. Counts go on under the model's name from one scheduler to the
    next; gauges and `nextchar_model` are those of the one that serves, and are not there where none does."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics = metrics
        self._model = model
        self._waiting: Gauge | None = None
        self._running: Gauge | None = None
        self._batch_size = metrics.batch_size.labels(model)
        self._queue_seconds = metrics.queue_seconds.labels(model)
        self._first_char_seconds = metrics.first_char_seconds.labels(model)
        self._char_seconds = metrics.char_seconds.labels(model)
        self._chars_read = metrics.chars_read.labels(model)
        self._chars_written = metrics.chars_written.labels(model)
        self._cache_hits = metrics.cache_hits.labels(model)
        self._cache_misses = metrics.cache_misses.labels(model)
        self._cancelled = metrics.cancelled.labels(model)
        self._failures = metrics.failures.labels(model)

    def loaded(self, facts: Mapping[str, str]) -> None:
        self._waiting = self._metrics.waiting.labels(self._model)
        self._running = self._metrics.running.labels(self._model)
        self._metrics.info.labels(self._model).info(dict(facts))

    def retired(self) -> None:
        # What the decode thread still sets goes to gauges that are shown no longer: no lock is needed.
        for metric in (self._metrics.waiting, self._metrics.running, self._metrics.info):
            metric.remove(self._model)

    def queue(self, waiting: int, rows: int) -> None:
        if self._waiting is not None and self._running is not None:
            self._waiting.set(waiting)
            self._running.set(rows)

    def tick(self, rows: int, steps: int, seconds: float) -> None:
        self._batch_size.observe(rows)

    def step_failed(self) -> None:
        self._failures.inc()

    def admitted(self, queue_s: float, cached_chars: int | None) -> None:
        self._queue_seconds.observe(queue_s)
        if cached_chars is not None:
            (self._cache_hits if cached_chars else self._cache_misses).inc()

    def first_character(self, seconds: float) -> None:
        self._first_char_seconds.observe(seconds)

    def finished(self, outcome: str, read: int, written: int, seconds: float) -> None:
        self._chars_read.inc(read)
        self._chars_written.inc(written)
        if written:
            self._char_seconds.observe(seconds / written)
        if outcome == "cancelled":
            self._cancelled.inc()
