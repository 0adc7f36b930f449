"""Looks at turns, made by hand: when a model counts as hanging, and what happens then."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.serving import hang
from app.serving.hang import LOOK_S, HangWatch
from app.serving.registry import Registry
from tests.app.conftest import eventually


class Model:
    """As much of one that is served as a look asks for. `turn`: when the turn began that it is in."""

    def __init__(self, name: str = "tiny", turn: float | None = 1.0) -> None:
        self.name = name
        self.scheduler = SimpleNamespace(turn_begun=turn, thread_id=threading.get_ident())

    def begins(self, turn: float | None) -> None:
        self.scheduler.turn_begun = turn


def watch_of(*models: Any, limit_s: float = 3 * LOOK_S, **options: Any) -> tuple[HangWatch, Registry, list[str]]:
    registry, ended = Registry(), []
    for model in models:
        registry.serve(model)
    options = {"limit_s": limit_s, "end": lambda: ended.append("ended"), **options}
    watch = HangWatch(registry, **options)
    watch._look_s = LOOK_S
    return watch, registry, ended


def looks(watch: HangWatch, times: int) -> list[Any]:
    return [watch.look() for _ in range(times)]


def test_a_model_hangs_that_is_in_one_turn_at_every_look_for_as_long_as_the_limit() -> None:
    model = Model()
    watch, _, _ = watch_of(model)
    assert looks(watch, 3) == [None, None, None]  # two times the pause between looks, so far
    assert watch.look() is model  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("between", [2.0, None], ids=["another turn", "no turn"])
def test_whoever_takes_turns_does_not_hang_however_long_it_does(between: float | None) -> None:
    model = Model()
    watch, _, _ = watch_of(model)
    assert looks(watch, 3) == [None] * 3
    model.begins(between)
    assert watch.look() is None
    model.begins(3.0)
    assert looks(watch, 3) == [None] * 3
    assert watch.look() is not None


def test_each_model_is_counted_for_itself() -> None:
    busy, other, stuck = Model("busy"), Model("other", None), Model("stuck", 1.0)
    watch, _, _ = watch_of(busy, other, stuck)
    for turn in (2.0, 3.0, 4.0):
        assert watch.look() is None
        busy.begins(turn)
    assert watch.look() is stuck  # type: ignore[comparison-overlap]


def test_a_model_that_is_loaded_still_or_was_replaced_is_not_looked_at() -> None:
    watch, registry, _ = watch_of()
    assert looks(watch, 5) == [None] * 5  # one that is loaded is not in the registry yet
    registry.serve(Model())  # type: ignore[arg-type]
    assert looks(watch, 3) == [None] * 3
    registry.serve(Model(turn=7.0))  # type: ignore[arg-type]
    assert looks(watch, 3) == [None] * 3
    registry.remove("tiny")
    assert watch.look() is None


def test_time_in_which_nothing_ran_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was suspended for an hour makes one look when it goes on, and reads no clock."""
    monkeypatch.setattr("time.monotonic", lambda: pytest.fail("a clock is read"))
    monkeypatch.setattr("time.perf_counter", lambda: pytest.fail("a clock is read"))
    watch, _, _ = watch_of(Model())
    assert looks(watch, 3) == [None] * 3


def test_it_says_which_model_and_where_and_then_ends_the_process_once() -> None:
    watch, _, ended = watch_of(Model(), limit_s=0.05)
    watch._look_s = 0.005
    with capture_logs() as said:
        watch.start()
        watch._thread.join()
    assert ended == ["ended"]
    [line] = said
    assert (line["log_level"], line["model"], line["seconds"]) == ("critical", "tiny", 0.05)
    assert "test_it_says_which_model" in line["stack"]


def test_a_log_that_takes_no_line_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(hang, "SAY_S", 0.01)
    monkeypatch.setattr(HangWatch, "_say", lambda *_: stuck.wait())
    watch, _, ended = watch_of(Model(), limit_s=0.01)
    watch._look_s = 0.005
    watch.start()
    eventually(lambda: ended)
    stuck.set()


def test_while_the_service_stops_nothing_is_ended() -> None:
    watch, _, ended = watch_of(Model(), limit_s=0.01, is_stopping=lambda: True)
    watch._look_s = 0.005
    watch.start()
    watch._thread.join()
    assert ended == []


def test_a_short_limit_is_looked_at_oftener_and_none_seldomer_than_each_second() -> None:
    assert HangWatch(Registry(), 0.5, list)._look_s == pytest.approx(0.05)
    assert HangWatch(Registry(), 60, list)._look_s == LOOK_S


def test_a_thread_that_is_gone_has_no_place() -> None:
    assert hang._stack(None) == hang._stack(-1) == "the thread is gone"
