"""Streams that break and are taken up again: the whole text comes once, as an EventSource asks for it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from app.generation import Cancelled, Generation, Result
from app.streaming import event_stream
from tests.app.conftest import Server

Event = tuple[str, str, Any]  # name, id, data

FIELDS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "seeded": {"temperature": 1.0, "seed": 4},
    "unseeded": {"temperature": 1.0},
    "two": {"temperature": 1.0, "n": 2},
    "stops": {"temperature": 1.0, "seed": 4, "n": 2, "stop": ["分开", "bc", "abcd"]},
    "logprobs": {"temperature": 1.0, "logprobs": 2, "return_state": True},
}
CASES = pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)


@dataclass
class EventSource:
    """What npm's `eventsource` does, as the HTML standard has it: an event counts once its blank line is there, and its
    id with it; a broken or ended connection is made again with that id; 204 ends it, any other status is a failure."""

    url: str
    last_event_id: str = ""
    events: list[Event] = field(default_factory=list)
    connections: int = 0
    closed: bool = False

    def run(self, until: float) -> None:
        with httpx.Client(timeout=60) as client:
            while not self.closed and time.monotonic() < until:
                try:
                    self._connect(client)
                except httpx.HTTPError:  # as after kill -9, and while nothing listens
                    time.sleep(0.2)

    def _connect(self, client: httpx.Client) -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        with client.stream("GET", self.url, headers=headers) as response:
            self.connections += 1
            if response.status_code != 200:
                self.closed = True
                assert response.status_code == 204, response.read()
                return
            rest = b""
            for piece in response.iter_raw():
                *blocks, rest = (rest + piece).split(b"\n\n")
                for block in blocks:
                    self._dispatch(block.decode())

    def _dispatch(self, block: str) -> None:
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        self.last_event_id = lines.get("id", self.last_event_id)
        if "data" in lines:
            self.events.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))


def events(client: TestClient, fields: dict[str, Any], last_event_id: str = "", status: int = 200) -> list[Event]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    body = {"prefix": "分开", "num_chars": 400, "stream": True, **fields}
    response = client.post("/generate", json=body, headers=headers)
    assert response.status_code == status, response.text
    source = EventSource("")
    for block in response.text.split("\n\n")[:-1] if status == 200 else []:
        source._dispatch(block)
    return source.events


def put_together(found: list[Event]) -> list[dict[str, Any]]:
    """The text and log-probabilities of each choice, out of chunks."""
    whole: dict[int, dict[str, Any]] = {}
    for name, _, data in found:
        if name == "chunk":
            own = whole.setdefault(data["index"], {"generated": "", "logprobs": []})
            own["generated"] += data["text"]
            own["logprobs"] += data.get("logprobs", [])
    return [whole.get(index, {"generated": "", "logprobs": []}) for index in range(max(whole) + 1)]


def check_whole(found: list[Event]) -> None:
    """The chunks bring exactly what the last event says."""
    assert [name for name, _, _ in found] == ["chunk"] * (len(found) - 1) + ["done"]
    done = found[-1][2]
    told = [
        {"generated": choice["generated"], "logprobs": choice.get("logprobs", [])}
        for choice in done.get("choices", [done])
    ]
    assert put_together(found) == told


def without_timing(done: Event) -> Any:
    return {**done[2], "timing": None}


@CASES
def test_a_stream_cut_behind_any_event_goes_on_with_the_same_text(client: TestClient, fields: dict[str, Any]) -> None:
    first = events(client, fields)
    check_whole(first)
    for at in range(1, len(first)):
        rest = events(client, fields, first[at - 1][1])
        check_whole(first[:at] + rest)
        assert without_timing(rest[-1]) == without_timing(first[-1])


@CASES
def test_a_stream_that_breaks_behind_every_event_comes_to_its_end(client: TestClient, fields: dict[str, Any]) -> None:
    found = [events(client, fields)[0]]
    while found[-1][0] != "done":
        found.append(events(client, fields, found[-1][1])[0])
    check_whole(found)
    events(client, fields, found[-1][1], status=204)


def test_the_token_behind_a_stream_that_was_taken_up_goes_on_with_its_text(client: TestClient) -> None:
    fields = {"temperature": 1.0, "return_state": True}
    first = events(client, fields)
    done = events(client, fields, first[0][1])[-1][2]
    rest = client.post("/generate", json={"state": done["state"], "num_chars": 30, "temperature": 1.0}).json()
    again = {"prefix": "分开", "num_chars": 430, "temperature": 1.0, "seed": done["seed"]}
    assert done["generated"] + rest["generated"] == client.post("/generate", json=again).json()["generated"]


def test_a_stream_from_a_token_is_taken_up_with_the_tokens_seed(client: TestClient) -> None:
    asked = {"prefix": "分开", "num_chars": 20, "temperature": 1.0, "return_state": True}
    token = client.post("/generate", json=asked).json()["state"]
    fields = {"prefix": None, "state": token, "temperature": 1.0}
    first = events(client, fields)
    check_whole(first[:2] + events(client, fields, first[1][1]))


def test_an_id_beside_another_seed_or_of_a_longer_text_than_there_is_is_refused(client: TestClient) -> None:
    seeded = {"temperature": 1.0, "seed": 4}
    event_id = events(client, seeded)[0][1]
    events(client, {**seeded, "seed": 5}, event_id, status=422)
    events(client, {}, event_id, status=422)
    events(client, {**seeded, "n": 2}, event_id, status=422)
    for wrong in ("1.2", "-1" + event_id[event_id.index("-") :], "401" + event_id[event_id.index("-") :], "done2"):
        events(client, seeded, wrong, status=422)
    whole = events(client, seeded)[-1][2]["generated"]
    stops = {**seeded, "stop": [whole[100:103]]}
    behind = "399" + event_id[event_id.index("-") :]  # the text ends before: it shows only when it is written
    *_, (name, _, problem) = events(client, stops, behind)
    assert (name, problem["status"]) == ("error", 422)
    assert problem["detail"].startswith("Last-Event-ID: is behind 399 characters; this request's text has")


def test_an_id_of_other_weights_is_409(client: TestClient) -> None:
    event_id = events(client, {})[0][1]
    response = client.post(
        "/generate", json={"prefix": "分开", "stream": True, "model": "other"}, headers={"Last-Event-ID": event_id}
    )
    assert response.status_code == 409
    assert response.json()["errors"][0]["field"] == "Last-Event-ID"


def test_a_client_that_left_before_the_first_event_holds_no_rows() -> None:
    async def run() -> None:
        generation: Generation[Result] = Generation(asyncio.get_running_loop())

        async def never() -> AsyncIterator[bytes]:
            yield b"data: x\n\n"
            raise AssertionError("nobody asks for more")

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(_: Message) -> None:
            await asyncio.sleep(0)

        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        await event_stream(never(), [generation])(scope, receive, send)
        assert isinstance(generation.error, Cancelled)

    asyncio.run(run())


@pytest.fixture
def sources() -> Iterator[list[EventSource]]:
    made: list[EventSource] = []
    yield made
    for source in made:
        source.closed = True


def test_streams_broken_by_kill_9_bring_the_whole_text_once_after_the_restart(
    models_dir: Path, tmp_path: Path, sources: list[EventSource]
) -> None:
    server = Server(tmp_path, models_dir)
    until = time.monotonic() + 100
    asked = [{"prefix": "分开", "num_chars": 4000, **fields} for fields in FIELDS.values()]
    for fields in asked:
        query = httpx.QueryParams({**fields, "stream": "true"})
        sources.append(EventSource(f"{server.url}/generate?{query}"))
    threads = [threading.Thread(target=source.run, args=(until,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    while not all(len(source.events) > 1 for source in sources):
        assert time.monotonic() < until
        time.sleep(0.001)
    server.process.kill()
    server.process.wait()
    server = Server(tmp_path, models_dir, NEXTCHAR_PORT=str(server.port))
    try:
        for thread in threads:
            thread.join(100)
        for fields, source in zip(asked, sources, strict=True):
            assert source.closed
            assert source.connections == 3, "broken, taken up, told that it has everything"
            check_whole(source.events)
            done = source.events[-1]
            alone = httpx.post(f"{server.url}/generate", json={**fields, "seed": done[2]["seed"]}, timeout=60).json()
            assert without_timing(done) == {**alone, "timing": None}
    finally:
        server.stop()
