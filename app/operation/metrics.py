"""What operators watch, in Prometheus' terms. One registry per app, so that two apps in one process do not mix.

Names follow those of other text-generation servers with `nextchar` in front, and characters where they count tokens.
"""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterator, Mapping
from functools import partial

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, Info, Metric
from prometheus_client import generate_latest as as_text
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS_TYPE
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics

from app.scheduling.observer import Observer
from app.wire.openapi import EVERY_ROUTE, problem_responses

# A step takes tens of microseconds, a long text behind a queue a minute.
SECONDS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


OPENMETRICS = "application/openmetrics-text"
_TEXT = {"schema": {"type": "string"}}


class Figures(CollectorRegistry):
    """Without the moment at which each series began, which are a sixth of them all and which nobody asks for. The
    library's own switch is one for the whole process."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class Metrics:
    def __init__(self) -> None:
        self.registry = Figures()
        self._observers: Count[str] = Count()  # by the name of their model
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
        self._of_models = [
            *(self.waiting, self.running, self.batch_size, self.queue_seconds, self.first_char_seconds),
            *(self.char_seconds, self.chars_read, self.chars_written, self.cache_hits, self.cache_misses),
            *(self.cancelled, self.failures, self.info),
        ]

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request that has ended."""
        self.requests.labels(route, method, status).inc()
        self.request_seconds.labels(route).observe(seconds)

    def count_cut(self, route: str, by: str) -> None:
        """An answer that ended before it was whole. by: "error" or "client"."""
        self.cut.labels(route, by).inc()

    def begin(self, model: str) -> None:
        """There is one more scheduler under this name."""
        self._observers[model] += 1

    def end(self, model: str) -> None:
        """There is one less. With the last one the series of the name go."""
        self._observers[model] -= 1
        if not self._observers[model]:
            del self._observers[model]
            for metric in self._of_models:
                metric.remove(model)

    def exposition(self) -> bytes:
        return as_text(self.registry)

    def router(self) -> APIRouter:
        """`/metrics`, of this registry."""
        router = APIRouter(tags=["operation"])

        @router.get(
            "/metrics",
            operation_id="get_metrics",
            summary="The figures that Prometheus collects",
            response_class=Response,
            responses={
                200: {"description": "The figures.", "content": {"text/plain": _TEXT, OPENMETRICS: _TEXT}},
                **problem_responses(*EVERY_ROUTE),
            },
        )
        async def metrics(request: Request) -> Response:
            """Prometheus' text format, version 1.0.0, or OpenMetrics 1.0.0 where `Accept` names it."""
            if OPENMETRICS in request.headers.get("accept", ""):
                text = as_openmetrics(self.registry)  # type: ignore[no-untyped-call]
                return Response(text, media_type=OPENMETRICS_TYPE)
            return Response(self.exposition(), media_type=CONTENT_TYPE_LATEST)

        return router


class ModelMetrics(Observer):
    """What the scheduler of one model tells, as metrics. Counts go on under the model's name from one scheduler to the
    next; gauges and `nextchar_model` are those of the one that serves, and are not there where none does. When the last
    scheduler of a name has ended, nothing of the name is there."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics = metrics
        self._model = model
        metrics.begin(model)
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

    def ended(self) -> None:
        self._metrics.end(self._model)

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
