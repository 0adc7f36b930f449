"""What operators watch, in Prometheus' terms. One registry per app, so that two apps in one process do not mix.

Names follow those of other text-generation servers with `nextchar` in front, and characters where they count tokens.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

# A step takes tens of microseconds, a long text behind a queue a minute.
SECONDS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = {"registry": self.registry}
        self.requests = Counter(
            "nextchar_request_count", "HTTP requests answered.", ["route", "method", "status"], **own
        )
        self.request_seconds = Histogram(
            "nextchar_request_duration_seconds", "Whole HTTP request.", ["route"], buckets=SECONDS, **own
        )
        self.waiting = Gauge("nextchar_num_requests_waiting", "Continuations in the queue.", ["model"], **own)
        self.running = Gauge("nextchar_num_requests_running", "Continuations being decoded.", ["model"], **own)
        self.batch_size = Histogram("nextchar_batch_size", "Rows of one engine call.", ["model"], buckets=ROWS, **own)
        self.queue_seconds = Histogram(
            "nextchar_request_queue_time_seconds", "From arrival to the first step.", ["model"], buckets=SECONDS, **own
        )
        self.first_char_seconds = Histogram(
            "nextchar_time_to_first_char_seconds",
            "From arrival to the first character.",
            ["model"],
            buckets=SECONDS,
            **own,
        )
        self.char_seconds = Histogram(
            "nextchar_time_per_output_char_seconds",
            "Decoding time of a continuation over its characters.",
            ["model"],
            buckets=SECONDS,
            **own,
        )
        self.chars_read = Counter("nextchar_prompt_chars", "Characters of prefixes read.", ["model"], **own)
        self.chars_written = Counter("nextchar_generation_chars", "Characters written.", ["model"], **own)
        self.cache_hits = Counter("nextchar_prefix_cache_hits", "Prefixes resumed from a kept state.", ["model"], **own)
        self.cache_misses = Counter("nextchar_prefix_cache_misses", "Prefixes read from the start.", ["model"], **own)
        self.cancelled = Counter(
            "nextchar_requests_cancelled", "Continuations given up by the client.", ["model"], **own
        )
        self.failures = Counter("nextchar_step_failures", "Engine calls that failed.", ["model"], **own)
        self.info = Info("nextchar_model", "What serves under a name.", ["model"], **own)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
