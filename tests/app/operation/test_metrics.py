"""What the figures count, told by a real scheduler."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.operation.metrics import Metrics, ModelMetrics
from app.refusals import StepFailed
from app.scheduling.scheduler import Scheduler
from tests.app.scheduling.test_scheduler import CHECKPOINT, ENGINE, Slow, request


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels or {"model": "tiny"})


class Counting(Slow):
    """Counts its own calls that failed."""

    failed = 0

    def _call(self, *arguments: Any) -> Any:
        try:
            return super()._call(*arguments)
        except RuntimeError:
            self.failed += 1
            raise


@pytest.mark.parametrize("requests", [0, 5])
def test_failed_engine_calls_are_counted_however_many_requests_were_in_them(requests: int) -> None:
    metrics, engine = Metrics(), Counting(ENGINE)
    engine.broken = (
        None if requests else RuntimeError("broken for the test")
    )  # without requests it is the first step, nobody's, that fails

    async def run() -> None:
        loop, told = asyncio.get_running_loop(), ModelMetrics(metrics, "tiny")
        scheduler = Scheduler(engine, CHECKPOINT.vocabulary, loop, time.perf_counter, observer=told)
        scheduler.start()
        await scheduler.first_step()
        engine.may_go.clear()
        pending = [scheduler.submit(request("一", 10)) for _ in range(requests)]
        engine.broken = RuntimeError("broken for the test")
        engine.may_go.set()
        for generation in pending:
            with pytest.raises(StepFailed):
                await generation
        await scheduler.drain(10)

    asyncio.run(run())
    assert engine.failed > 0
    assert value(metrics, "nextchar_step_failures_total") == engine.failed


def gauges(metrics: Metrics) -> list[float | None]:
    return [value(metrics, f"nextchar_num_requests_{which}") for which in ("waiting", "running")]


def test_gauges_are_those_of_the_scheduler_that_serves_and_go_with_it() -> None:
    metrics = Metrics()
    old, new = ModelMetrics(metrics, "tiny"), ModelMetrics(metrics, "tiny")
    old.queue(9, 9)
    assert gauges(metrics) == [None, None]
    old.loaded({"digest": "a"})
    old.queue(1, 2)
    new.queue(7, 8)  # its first step, while the old one serves
    assert gauges(metrics) == [1, 2]
    old.retired()
    new.loaded({"digest": "b"})
    old.queue(3, 4)
    assert gauges(metrics) == [0, 0]
    new.queue(5, 6)
    old.queue(3, 4)
    assert gauges(metrics) == [5, 6]
    assert value(metrics, "nextchar_model_info", model="tiny", digest="b") == 1
    assert value(metrics, "nextchar_model_info", model="tiny", digest="a") is None
    new.retired()
    new.queue(5, 6)
    assert gauges(metrics) == [None, None]
    assert value(metrics, "nextchar_model_info", model="tiny", digest="b") is None


def test_counts_go_on_from_one_scheduler_to_the_next() -> None:
    metrics = Metrics()
    for observer in (ModelMetrics(metrics, "tiny"), ModelMetrics(metrics, "tiny")):
        observer.loaded({})
        observer.retired()
        observer.finished("length", read=3, written=4, seconds=2.0)
        observer.finished("cancelled", read=1, written=0, seconds=2.0)
        observer.admitted(0.5, 0)
        observer.admitted(0.5, 7)
        observer.admitted(0.5, None)
        observer.first_character(0.25)
        observer.tick(5, 2, 0.001)
    assert value(metrics, "nextchar_prompt_chars_total") == 2 * (3 + 1)
    assert value(metrics, "nextchar_generation_chars_total") == 2 * 4
    assert value(metrics, "nextchar_requests_cancelled_total") == 2
    assert value(metrics, "nextchar_prefix_cache_misses_total") == 2
    assert value(metrics, "nextchar_prefix_cache_hits_total") == 2
    assert value(metrics, "nextchar_request_queue_time_seconds_count") == 6
    assert value(metrics, "nextchar_request_queue_time_seconds_sum") == 3.0
    assert value(metrics, "nextchar_time_to_first_char_seconds_sum") == 0.5
    assert value(metrics, "nextchar_time_per_output_char_seconds_count") == 2  # those that wrote nothing have none
    assert value(metrics, "nextchar_time_per_output_char_seconds_sum") == 2 * 2.0 / 4
    assert value(metrics, "nextchar_batch_size_sum") == 10


def series(metrics: Metrics) -> set[str]:
    return {line.rpartition(" ")[0] for line in metrics.exposition().decode().splitlines() if line[0] != "#"}


def test_what_is_known_of_a_model_goes_with_its_last_scheduler() -> None:
    metrics = Metrics()
    ModelMetrics(metrics, "tiny").loaded({"digest": "a"})
    before = series(metrics)
    old, new = ModelMetrics(metrics, "other"), ModelMetrics(metrics, "other")
    old.loaded({"digest": "b"})
    old.finished("length", 3, 4, 1.0)
    old.retired()
    old.ended()
    new.loaded({"digest": "c"})
    new.finished("length", 3, 4, 1.0)
    assert value(metrics, "nextchar_prompt_chars_total", model="other") == 6
    new.retired()
    new.finished("draining", 0, 0, 1.0)
    assert any('model="other"' in line for line in series(metrics))
    new.ended()
    new.finished("draining", 1, 1, 1.0)  # by a thread that hung
    assert series(metrics) == before
    again = ModelMetrics(metrics, "other")
    again.loaded({})
    again.finished("length", 1, 1, 1.0)
    assert value(metrics, "nextchar_prompt_chars_total", model="other") == 1


def test_no_series_says_when_another_began() -> None:
    metrics = Metrics()
    ModelMetrics(metrics, "tiny").loaded({})
    metrics.count("/generate", "GET", 200, 0.1)
    assert "_created" not in metrics.exposition().decode()
    assert "nextchar_request_count_total" in metrics.exposition().decode()


def test_two_apps_in_one_process_and_two_models_in_one_app_count_apart() -> None:
    first, second = Metrics(), Metrics()
    ModelMetrics(first, "tiny").finished("length", 1, 1, 1.0)
    ModelMetrics(first, "other").finished("length", 10, 1, 1.0)
    ModelMetrics(second, "tiny").finished("length", 100, 1, 1.0)
    name = "nextchar_prompt_chars_total"
    assert [value(first, name), value(first, name, model="other"), value(second, name)] == [1, 10, 100]


PER_MODEL = {
    "nextchar_num_requests_waiting": "gauge",
    "nextchar_num_requests_running": "gauge",
    "nextchar_batch_size": "histogram",
    "nextchar_request_queue_time_seconds": "histogram",
    "nextchar_time_to_first_char_seconds": "histogram",
    "nextchar_time_per_output_char_seconds": "histogram",
    "nextchar_prompt_chars": "counter",
    "nextchar_generation_chars": "counter",
    "nextchar_prefix_cache_hits": "counter",
    "nextchar_prefix_cache_misses": "counter",
    "nextchar_requests_cancelled": "counter",
    "nextchar_step_failures": "counter",
    "nextchar_model_info": "gauge",  # as the text format has no kind of its own for it
}


def test_each_figure_is_exposed_under_its_name_with_its_labels_and_what_it_is() -> None:
    metrics = Metrics()
    ModelMetrics(metrics, "tiny").loaded({"digest": "a"})
    metrics.requests.labels("/generate", "GET", "200").inc()
    metrics.cut.labels("/generate", "client").inc()
    metrics.request_seconds.labels("/generate").observe(2.0)
    families = {f.name: f for f in text_string_to_metric_families(metrics.exposition().decode())}
    kinds = {name: family.type for name, family in families.items() if not name.endswith("_created")}
    for_requests = {
        "nextchar_request_count": "counter",
        "nextchar_answers_cut": "counter",
        "nextchar_request_duration_seconds": "histogram",
    }
    assert kinds == PER_MODEL | for_requests
    for name in PER_MODEL:
        assert all(sample.labels["model"] == "tiny" for sample in families[name].samples), name
    assert {tuple(sample.labels.items()) for sample in families["nextchar_request_count"].samples} == {
        (("method", "GET"), ("route", "/generate"), ("status", "200"))
    }
    assert families["nextchar_answers_cut"].samples[0].labels == {"route": "/generate", "by": "client"}
    seconds = {s.labels.get("le"): s.value for s in families["nextchar_request_duration_seconds"].samples}
    assert (seconds["1.0"], seconds["3.0"]) == (0, 1)
    assert all(family.documentation for family in families.values())


def test_every_figure_that_alerts_and_dashboards_ask_for_is_there() -> None:
    metrics, root = Metrics(), Path(__file__).parent.parent.parent.parent
    ModelMetrics(metrics, "tiny").loaded({})
    metrics.requests.labels("/generate", "GET", "200").inc()
    metrics.cut.labels("/generate", "client").inc()
    metrics.request_seconds.labels("/generate").observe(2.0)
    names = {s.name for f in text_string_to_metric_families(metrics.exposition().decode()) for s in f.samples}
    panels = json.loads((root / "docs/grafana/nextchar.json").read_text("utf-8"))
    asked = json.dumps(panels) + (root / "deploy/prometheus/alerts.yml").read_text("utf-8")
    assert set(re.findall(r"nextchar_[a-z_]+", asked)) <= names


def test_rows_of_a_call_are_counted_by_powers_of_two() -> None:
    metrics = Metrics()
    told = ModelMetrics(metrics, "tiny")
    for rows in (1, 2, 3, 1024, 1025):
        told.tick(rows, 1, 0.001)
    counts = {le: value(metrics, "nextchar_batch_size_bucket", model="tiny", le=le) for le in ("1.0", "2.0", "4.0")}
    assert counts == {"1.0": 1, "2.0": 2, "4.0": 3}
    assert value(metrics, "nextchar_batch_size_bucket", model="tiny", le="1024.0") == 4
    assert value(metrics, "nextchar_batch_size_bucket", model="tiny", le="+Inf") == 5
