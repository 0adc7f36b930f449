from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from starlette.datastructures import Headers
from structlog.testing import capture_logs

from app.middleware.last_resort import BROKEN_OFF
from app.middleware.request_log import RequestLog
from app.operation.log import configure
from app.operation.metrics import Metrics
from tests.app.asgi import passes_what_is_not_http, scope_of, sent_by


class Logged:
    """A RequestLog over an app that sends these messages, its metrics, and the lines it wrote."""

    def __init__(self, *messages: dict[str, Any], route: str | None = None, broken: bool = False) -> None:
        self.metrics, self.bound = Metrics(), dict[str, Any]()

        async def inside(scope: Any, receive: Any, send: Any) -> None:
            self.bound = structlog.contextvars.get_contextvars()
            if route is not None:
                scope["route"] = SimpleNamespace(path=route)
            for message in messages:
                await send(message)
            if broken:
                scope[BROKEN_OFF] = True

        self._app = RequestLog(inside, self.metrics.count, self.metrics.count_cut)

    def ask(self, scope: dict[str, Any]) -> list[dict[str, Any]]:
        with capture_logs() as lines:
            sent = sent_by(self._app, scope)
        [self.line] = lines
        return sent

    def counted(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def piece(more: bool | None = None) -> dict[str, Any]:
    return {"type": "http.response.body", "body": b"a", **({} if more is None else {"more_body": more})}


def test_what_is_not_http_is_not_logged() -> None:
    metrics = Metrics()
    with capture_logs() as lines:
        passes_what_is_not_http(lambda inside: RequestLog(inside, metrics.count, metrics.count_cut))
    assert lines == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("aZ09._:-", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        (None, False),
        ("a b", False),
        ("a\n", False),
        ("ä", False),
    ],
)
def test_a_request_has_one_name_in_its_answer_and_in_every_line_until_it_ends(given: str | None, kept: bool) -> None:
    logged = Logged(start(), piece())
    headers: dict[str, Any] = {} if given is None else {"X_Request_ID": given}
    [begins, _] = logged.ask(scope_of(**headers))
    name = Headers(raw=begins["headers"])["x-request-id"]
    assert name == given if kept else re.fullmatch("[0-9a-f]{32}", name)
    assert logged.bound == {"request_id": name}


def test_two_requests_have_two_names() -> None:
    names = set()
    for _ in range(2):
        logged = Logged(start(), piece())
        logged.ask(scope_of())
        names.add(logged.bound["request_id"])
    assert len(names) == 2


def test_an_answer_is_its_askers_unless_it_says_otherwise() -> None:
    own = (b"cache-control", b"private, no-cache")
    for headers, expected in ([], "no-store"), ([own], "private, no-cache"):
        [begins, body] = Logged(start(200, *headers), piece()).ask(scope_of())
        assert Headers(raw=begins["headers"]).getlist("cache-control") == [expected]
        assert body == piece()


@pytest.mark.parametrize(
    ("messages", "broken", "status", "cut_by"),
    [
        ([start(), piece()], False, 200, None),
        ([start(404), piece(True), piece(False)], False, 404, None),
        ([start(), piece(True)], False, 200, "client"),
        ([start()], False, 200, "client"),
        ([start(206), piece(True)], True, 206, "error"),
        ([], False, 499, None),
        ([], True, 499, None),
    ],
)
def test_a_line_and_the_metrics_say_how_it_ended(
    messages: list[dict[str, Any]], broken: bool, status: int, cut_by: str | None
) -> None:
    logged = Logged(*messages, route="/models/{name}", broken=broken)
    logged.ask(scope_of("POST", "/models/secret"))
    line = {key: value for key, value in logged.line.items() if key != "ms"}
    about = {"event": "request", "log_level": "info", "method": "POST", "route": "/models/{name}", "status": status}
    assert line == {**about, **({} if cut_by is None else {"cut_by": cut_by})}
    labels = {"route": "/models/{name}", "method": "POST", "status": str(status)}
    assert logged.counted("nextchar_request_count_total", **labels) == 1
    for by in ("client", "error"):
        found = logged.counted("nextchar_answers_cut_total", route="/models/{name}", by=by)
        assert found == (1 if by == cut_by else None)


def test_an_error_goes_on_behind_its_line_and_the_name_ends_with_the_request() -> None:
    absent: Any = None
    metrics = Metrics()

    async def fails(*_: Any) -> None:
        raise ZeroDivisionError

    async def one_task() -> dict[str, Any]:
        structlog.contextvars.bind_contextvars(other="stays")
        with pytest.raises(ZeroDivisionError):
            await RequestLog(fails, metrics.count, metrics.count_cut)(scope_of(), absent, absent)
        return structlog.contextvars.get_contextvars()

    with capture_logs() as lines:
        assert asyncio.run(one_task()) == {"other": "stays"}
    assert [line["status"] for line in lines] == [499]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "BREW", "get"])
def test_a_method_or_a_path_of_a_strangers_own_makes_no_series_of_its_own(method: str) -> None:
    logged = Logged(start(), piece())
    logged.ask(scope_of(method, "/a/strangers/own"))
    named = "other" if method in ("BREW", "get") else method
    assert (logged.line["method"], logged.line["route"]) == (named, "none")
    assert logged.counted("nextchar_request_count_total", route="none", method=named, status="200") == 1


@pytest.mark.parametrize("route", ["/healthz", "/readyz", "/metrics", "/generate"])
def test_what_is_asked_every_few_seconds_is_logged_for_debugging(route: str) -> None:
    logged = Logged(start(), piece(), route=route)
    logged.ask(scope_of())
    assert logged.line["log_level"] == ("info" if route == "/generate" else "debug")


def test_how_long_it_took_stands_in_line_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    logged, times = Logged(start(), piece()), iter([1000.0, 1000.2512634])
    with monkeypatch.context() as patched:
        patched.setattr("time.perf_counter", lambda: next(times))
        logged.ask(scope_of())
    assert logged.line["ms"] == 251.26
    assert logged.counted("nextchar_request_duration_seconds_sum", route="none") == pytest.approx(0.2512634)


class Terminal(io.StringIO):
    def __init__(self, is_one: bool) -> None:
        super().__init__()
        self._is_one = is_one

    def isatty(self) -> bool:
        return self._is_one


@pytest.fixture
def loggers() -> Iterator[None]:
    """The process's logging, and afterwards as it was."""
    touched = [logging.getLogger(name) for name in (None, "uvicorn", "uvicorn.error", "uvicorn.access")]
    before = [(logger.handlers[:], logger.level, logger.propagate, logger.disabled) for logger in touched]
    yield
    for logger, (handlers, level, propagate, disabled) in zip(touched, before, strict=True):
        logger.handlers[:], logger.propagate, logger.disabled = handlers, propagate, disabled
        logger.setLevel(level)
    structlog.reset_defaults()


def written(monkeypatch: pytest.MonkeyPatch, level: str, style: str, terminal: bool = False) -> list[str]:
    """The lines that come of our own log and of a library's at each level, with errors among them."""
    stream = Terminal(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    configure(level, style)
    ours, theirs = structlog.get_logger(), logging.getLogger("somebody.elses")
    with structlog.contextvars.bound_contextvars(request_id="followed-7"):
        for name in ("debug", "info", "warning"):
            getattr(ours, name)("ours 分开", n=7)
            getattr(theirs, name)("theirs %s", "分开")
        try:
            local_variable = "of a person"
            raise ZeroDivisionError(len(local_variable))
        except ZeroDivisionError as error:
            ours.error("failed", exc_info=error)
            theirs.exception("failed")
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(("style", "terminal"), [("json", False), ("json", True), ("auto", False)])
def test_every_line_is_json_with_time_level_and_request(
    loggers: None, monkeypatch: pytest.MonkeyPatch, style: str, terminal: bool
) -> None:
    raw = written(monkeypatch, "info", style, terminal)
    lines = [json.loads(line) for line in raw]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "ours 分开"), ("info", "theirs 分开"),
        ("warning", "ours 分开"), ("warning", "theirs 分开"),
        ("error", "failed"), ("error", "failed"),
    ]  # fmt: skip
    assert "分开" in raw[0]
    for line in lines:
        assert line["request_id"] == "followed-7"
        taken = datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00"))
        assert abs((datetime.now(timezone.utc) - taken).total_seconds()) < 3600
    known = {"level", "event", "timestamp", "request_id"}
    assert [set(line) - known for line in lines] == [{"n"}, set(), {"n"}, set(), {"exception"}, {"exception"}]
    for line in lines[-2:]:
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ZeroDivisionError: 11")


@pytest.mark.parametrize(("style", "terminal"), [("console", False), ("console", True), ("auto", True)])
def test_people_get_words_and_plain_tracebacks(
    loggers: None, monkeypatch: pytest.MonkeyPatch, style: str, terminal: bool
) -> None:
    text = "\n".join(written(monkeypatch, "info", style, terminal))
    assert text.count("followed-7") == 6
    assert text.count("Traceback") == text.count("ZeroDivisionError: 11") == 2
    assert "of a person" not in text.replace('local_variable = "of a person"', "")
    assert not text.startswith("{")


@pytest.mark.parametrize(("level", "count"), [("debug", 8), ("info", 6), ("warning", 4), ("error", 2)])
def test_what_is_below_the_level_is_not_written(
    loggers: None, monkeypatch: pytest.MonkeyPatch, level: str, count: int
) -> None:
    assert len(written(monkeypatch, level, "json")) == count


def test_the_servers_own_lines_go_the_same_way_once_and_its_access_log_none(
    loggers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal(False)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).addHandler(logging.StreamHandler(stream))
        logging.getLogger(name).propagate = False
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in range(2):
        configure("info", "json")
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).info("from %s", name)
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["from uvicorn", "from uvicorn.error"]
