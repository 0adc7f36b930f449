"""Streams that break and are taken up again: the whole text comes once, as an EventSource asks for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from app.native.event_id import Place
from app.native.stream import events, place_of
from app.refusals import Cancelled, Refusal, StepFailed
from app.scheduling.reply import Reply
from app.scheduling.requests import Chunk, GenerateRequest, Result, Written
from app.serving.question import Question
from app.wire.event_stream import event_stream, merged_with_keepalive
from app.wire.problems import ProblemError
from model.decoding.measure import Measured, part_of
from model.sampling.options import Sampling
from tests.app.conftest import answer_of

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


# Without a model: what is written is made up here.

DIGEST = "0123456789abcdef" * 4
CHARACTERS = "abcd"


def asked(n: int, logprobs: int | None = None, seed: int | None = 3, num_chars: int = 99) -> Question:
    vocabulary = SimpleNamespace(characters=CHARACTERS)
    served: Any = SimpleNamespace(
        name="m", lm=SimpleNamespace(vocabulary=vocabulary, checkpoint=SimpleNamespace(digest=DIGEST))
    )
    sampling = Sampling(0.0 if seed is None else 1.0, seed=seed)
    request = GenerateRequest(np.zeros(1, np.int64), num_chars, sampling, n, logprobs=logprobs, stream=True)
    return Question(served, request, "a")


def measured(text: str, alternatives: int, seed: int) -> Measured:
    rng, N = np.random.default_rng(seed), len(text)
    tops = rng.integers(0, len(CHARACTERS), (N, alternatives)).astype(np.int32)
    return Measured(-rng.random(N), np.zeros(N, np.int32), rng.random(N), tops, -rng.random((N, alternatives)))


def run(use: Callable[[], Coroutine[None, None, Any]]) -> Any:
    async def bounded() -> Any:
        result = await asyncio.wait_for(use(), 300)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing goes on reading"
        return result

    return asyncio.run(bounded())


def events_of(question: Question, chunks: Iterable[Chunk], result: Result | Refusal, place: Place) -> str:
    found: str = run(lambda: _events_of(question, chunks, result, place))
    return found


async def _events_of(question: Question, chunks: Iterable[Chunk], result: Result | Refusal, place: Place) -> str:
    generation: Reply[Result] = Reply(asyncio.get_running_loop())
    found = ""
    for chunk in chunks:
        generation.push(chunk)
    if isinstance(result, Result):
        generation.finish(result)
    else:
        generation.fail(result)
    async for piece in events(question, generation, place, b"secret"):
        found += piece.decode()
    return found


def read(stream: str) -> list[Event]:
    source = EventSource("")
    *blocks, nothing = stream.split("\n\n")
    assert nothing == ""
    for block in blocks:
        source._dispatch(block)
    return source.events


@given(data=st.data(), logprobs=st.sampled_from([None, 0, 2]), seed=st.sampled_from([None, 0, 7]))
@settings(max_examples=60)
def test_behind_any_place_comes_the_rest_of_each_text_and_ids_of_what_the_client_has(
    data: st.DataObject, logprobs: int | None, seed: int | None
) -> None:
    texts = data.draw(st.lists(st.text(CHARACTERS, max_size=8), min_size=1, max_size=3), "texts")
    seen = tuple(data.draw(st.integers(0, len(text)), "seen") for text in texts)
    whole = [None if logprobs is None else measured(text, logprobs, i) for i, text in enumerate(texts)]
    at = [0] * len(texts)
    chunks, ids = [], []
    digits = "greedy" if seed is None else str(seed)
    while any(begun < len(text) for begun, text in zip(at, texts, strict=True)):
        i = data.draw(st.sampled_from([i for i, text in enumerate(texts) if at[i] < len(text)]), "index")
        end = data.draw(st.integers(at[i] + 1, len(texts[i])), "end")
        values = whole[i]
        chunks.append(Chunk(i, texts[i][at[i] : end], None if values is None else part_of(values, at[i], end)))
        at[i] = end
        if end > seen[i]:
            ids.append(".".join(str(max(pair)) for pair in zip(at, seen, strict=True)) + f"-{digits}-{DIGEST[:16]}")
    choices = tuple(Written(i, text, "length", seed, whole[i], None) for i, text in enumerate(texts))
    question = asked(len(texts), logprobs, seed)
    place = Place(seen, seed, DIGEST[:16])
    *found, (name, last_id, done) = read(
        events_of(question, chunks, Result(choices, 1.0, 2.0, sum(map(len, texts))), place)
    )
    assert (name, last_id) == ("done", "done")
    assert [text["generated"] for text in done.get("choices", [done])] == texts
    assert [event_id for _, event_id, _ in found] == ids
    assert {event for event, _, _ in found} <= {"chunk"}
    for i, text in enumerate(texts):
        own = [event for _, _, event in found if event["index"] == i]
        assert "".join(event["text"] for event in own) == text[seen[i] :]
        assert all(("logprobs" in event) == (logprobs is not None) for event in own)
        values = whole[i]
        if values is not None:
            told = [item for event in own for item in event["logprobs"]]
            assert [item["character"] for item in told] == list(text[seen[i] :])
            assert [item["logprob"] for item in told] == values.logprobs[seen[i] :].tolist()
            assert [[CHARACTERS.index(a["character"]) for a in item["alternatives"]] for item in told] == (
                values.alternatives[seen[i] :].tolist()
            )


@pytest.mark.parametrize(("error", "status"), [(StepFailed("broken"), 500), (Refusal("odd"), 503)])
def test_a_stream_that_fails_says_why_in_its_last_event_which_has_no_id(error: Refusal, status: int) -> None:
    place = Place((0,), 3, DIGEST[:16])
    stream = events_of(asked(1), [Chunk(0, "ab", None)], error, place)
    first, last = read(stream)
    assert first == ("chunk", f"2-3-{DIGEST[:16]}", {"text": "ab", "index": 0})
    assert (last[0], last[1], last[2]["status"], last[2]["detail"]) == ("error", "", status, str(error))


def test_a_place_behind_the_end_of_any_of_the_texts_is_an_error() -> None:
    result = Result(tuple(Written(i, "ab", "stop", 3 + i, None, None) for i in range(2)), 1.0, 2.0, 4)
    chunks = [Chunk(0, "ab", None), Chunk(1, "ab", None)]
    *_, (name, _, problem) = read(events_of(asked(2), chunks, result, Place((2, 3), 3, DIGEST[:16])))
    assert (name, problem["status"]) == ("error", 422)
    assert problem["errors"][0]["field"] == "Last-Event-ID"
    assert "3 characters" in problem["detail"]
    assert problem["detail"].endswith("has 2")


def test_a_stream_begins_at_its_beginning_or_behind_the_id_that_is_right_for_it() -> None:
    beginning = Place((0, 0), 3, DIGEST[:16])
    assert place_of(asked(2), None) == beginning
    behind = Place((4, 2), 3, DIGEST[:16])
    assert place_of(asked(2), behind) == behind
    with pytest.raises(ProblemError) as refused:
        place_of(asked(2), Place((4, 2), 3, "f" * 16))
    assert refused.value.status == 409
    assert refused.value.detail.startswith("Last-Event-ID: ")
    assert refused.value.errors == [
        {"field": "Last-Event-ID", "message": refused.value.detail.removeprefix("Last-Event-ID: ")}
    ]


def test_chunks_of_several_texts_come_as_they_are_written_until_the_last_has_ended() -> None:
    async def use() -> None:
        generations: list[Reply[str]] = [Reply(asyncio.get_running_loop()) for _ in range(3)]
        merged = merged_with_keepalive(
            generations,  # type: ignore[arg-type]
            lambda place, chunk: [f"{place}{chunk.text}".encode()],
        )
        generations[1].finish("nothing was written")
        for place, text in [(2, "a"), (0, "b"), (2, "c"), (0, "d")]:
            generations[place].push(Chunk(0, text, None))
            assert await anext(merged) == f"{place}{text}".encode()
        generations[2].finish("written")
        generations[0].push(Chunk(0, "e", None))
        assert await anext(merged) == b"0e"
        generations[0].finish("written")
        assert [piece async for piece in merged] == []

    run(use)


def test_one_that_fails_ends_the_stream_of_all_and_no_one_goes_on_reading() -> None:
    async def use() -> None:
        generations: list[Reply[Any]] = [Reply(asyncio.get_running_loop()) for _ in range(2)]
        merged = merged_with_keepalive(generations, lambda _, chunk: [chunk.text.encode()])
        generations[1].fail(StepFailed("broken"))
        with pytest.raises(StepFailed):
            await anext(merged)
        assert not generations[0].done

    async def left() -> None:
        generation: Reply[Any] = Reply(asyncio.get_running_loop())
        merged = merged_with_keepalive([generation], lambda _, chunk: [chunk.text.encode()])
        generation.push(Chunk(0, "a", None))
        assert await anext(merged) == b"a"
        await merged.aclose()  # type: ignore[attr-defined]

    run(use)
    run(left)


def test_a_comment_keeps_a_stream_alive_in_which_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float | None] = []
    wait = asyncio.wait

    async def counted(tasks: Any, *, timeout: float | None = None, **more: Any) -> Any:
        waited.append(timeout)
        return await wait(tasks, timeout=0.001, **more)

    monkeypatch.setattr(asyncio, "wait", counted)

    async def use() -> None:
        generation: Reply[Any] = Reply(asyncio.get_running_loop())
        merged = merged_with_keepalive([generation], lambda _, chunk: [chunk.text.encode()])
        for _ in range(3):
            comment = await anext(merged)
            assert comment.startswith(b":")
            assert comment.endswith(b"\n\n")
        generation.push(Chunk(0, "a", None))
        generation.finish("written")
        assert [piece async for piece in merged if not piece.startswith(b":")] == [b"a"]

    run(use)
    assert set(waited) == {15.0}, "less than the minute after which proxies give up"


def test_a_client_that_left_before_the_first_event_holds_no_rows() -> None:
    async def use() -> None:
        generation: Reply[Result] = Reply(asyncio.get_running_loop())

        async def never() -> Any:
            yield b"data: x\n\n"
            raise AssertionError("nobody asks for more")

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(_: Message) -> None:
            await asyncio.sleep(0)

        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        await event_stream(never(), [generation])(scope, receive, send)
        assert isinstance(generation.error, Cancelled)

    run(use)


# Over a model.


def asked_events(client: TestClient, fields: dict[str, Any], last_event_id: str = "", status: int = 200) -> list[Event]:
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
    first = asked_events(client, fields)
    check_whole(first)
    for at in range(1, len(first)):
        rest = asked_events(client, fields, first[at - 1][1])
        check_whole(first[:at] + rest)
        assert without_timing(rest[-1]) == without_timing(first[-1])


@CASES
def test_a_stream_that_breaks_behind_every_event_comes_to_its_end(client: TestClient, fields: dict[str, Any]) -> None:
    fields = {**fields, "num_chars": 60}
    found = [asked_events(client, fields)[0]]
    while found[-1][0] != "done":
        found.append(asked_events(client, fields, found[-1][1])[0])
    check_whole(found)
    asked_events(client, fields, found[-1][1], status=204)


def test_the_token_behind_a_stream_that_was_taken_up_goes_on_with_its_text(client: TestClient) -> None:
    fields = {"temperature": 1.0, "return_state": True}
    first = asked_events(client, fields)
    done = asked_events(client, fields, first[0][1])[-1][2]
    rest = client.post("/generate", json={"state": done["state"], "num_chars": 30, "temperature": 1.0}).json()
    again = {"prefix": "分开", "num_chars": 430, "temperature": 1.0, "seed": done["seed"]}
    assert done["generated"] + rest["generated"] == client.post("/generate", json=again).json()["generated"]


def test_a_stream_from_a_token_is_taken_up_with_the_tokens_seed(client: TestClient) -> None:
    asked = {"prefix": "分开", "num_chars": 20, "temperature": 1.0, "return_state": True}
    token = client.post("/generate", json=asked).json()["state"]
    fields = {"prefix": None, "state": token, "temperature": 1.0}
    first = asked_events(client, fields)
    check_whole(first[:2] + asked_events(client, fields, first[1][1]))


def test_an_id_beside_another_seed_or_of_a_longer_text_than_there_is_is_refused(client: TestClient) -> None:
    seeded = {"temperature": 1.0, "seed": 4}
    event_id = asked_events(client, seeded)[0][1]
    asked_events(client, {**seeded, "seed": 5}, event_id, status=422)
    asked_events(client, {}, event_id, status=422)
    asked_events(client, {**seeded, "n": 2}, event_id, status=422)
    for wrong in ("1.2", "-1" + event_id[event_id.index("-") :], "401" + event_id[event_id.index("-") :], "done2"):
        asked_events(client, seeded, wrong, status=422)
    whole = asked_events(client, seeded)[-1][2]["generated"]
    stops = {**seeded, "stop": [whole[100:103]]}
    behind = "399" + event_id[event_id.index("-") :]  # the text ends before: it shows only when it is written
    *_, (name, _, problem) = asked_events(client, stops, behind)
    assert (name, problem["status"]) == ("error", 422)
    assert problem["detail"].startswith("Last-Event-ID: is behind 399 characters; this request's text has")


def test_an_id_of_other_weights_is_409(client: TestClient) -> None:
    event_id = asked_events(client, {})[0][1]
    response = client.post(
        "/generate", json={"prefix": "分开", "stream": True, "model": "other"}, headers={"Last-Event-ID": event_id}
    )
    assert response.status_code == 409
    assert response.json()["errors"][0]["field"] == "Last-Event-ID"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_one_on_the_way_keeps_or_delays_a_stream(client: TestClient, method: str) -> None:
    query = {"prefix": "a", "stream": "true"}
    response = client.get("/generate", params=query) if method == "GET" else client.post("/generate", params=query)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-store", "no")


def events_of_stream(client: TestClient, last_event_id: str | None = None, **fields: Any) -> list[tuple[str, str, Any]]:
    """(event, id, data) of a stream."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    response = client.post("/generate", json={"stream": True, **fields}, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    found = []
    for block in response.text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))
    return found


def test_a_stream_brings_the_text_in_chunks_and_ends_with_the_plain_answer(client: TestClient) -> None:
    fields: dict[str, Any] = {"prefix": "分开", "num_chars": 300, "temperature": 1.0, "seed": 4}
    *chunks, done = events_of_stream(client, **fields)
    assert [kind for kind, _, _ in chunks] == ["chunk"] * len(chunks)
    assert all(data["text"] for _, _, data in chunks)
    plain = answer_of(client, **fields)
    assert "".join(data["text"] for _, _, data in chunks) == plain["generated"]
    assert done[0] == "done"
    assert {**done[2], "timing": 0} == {**plain, "timing": 0}


def test_a_streams_logprobs_are_those_of_the_plain_answer(client: TestClient) -> None:
    fields: dict[str, Any] = {"prefix": "分开", "num_chars": 50, "logprobs": 2, "stop": ["zz"]}
    *chunks, _ = events_of_stream(client, **fields)
    assert [item for _, _, data in chunks for item in data["logprobs"]] == answer_of(client, **fields)["logprobs"]


def test_no_part_of_a_stop_string_is_streamed(client: TestClient) -> None:
    fields: dict[str, Any] = {"prefix": "分开", "num_chars": 200, "temperature": 1.0, "seed": 4}
    whole = answer_of(client, **fields)["generated"]
    *chunks, done = events_of_stream(client, stop=[whole[150:154]], **fields)
    assert "".join(data["text"] for _, _, data in chunks) == whole[: whole.index(whole[150:154])]
    assert done[2]["finish_reason"] == "stop"


@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_comes_back_gets_the_rest_and_nothing_twice(client: TestClient, n: int) -> None:
    fields: dict[str, Any] = {"prefix": "分开", "num_chars": 400, "temperature": 1.0, "seed": 4, "n": n}
    first = events_of_stream(client, **fields)
    texts = [""] * n
    for kind, event_id, data in first[: len(first) // 2 + 1]:
        if kind == "chunk":
            texts[data["index"]] += data["text"]
            last = event_id
    for kind, _, data in events_of_stream(client, last_event_id=last, **fields):
        if kind == "chunk":
            texts[data["index"]] += data["text"]
    body = first[-1][2]
    assert texts == [choice["generated"] for choice in body.get("choices", [body])]


def test_a_client_that_has_everything_is_told_so_and_a_wrong_id_is_refused(client: TestClient) -> None:
    fields = {"prefix": "a", "stream": True}
    assert client.post("/generate", json=fields, headers={"Last-Event-ID": "done"}).status_code == 204
    wrong = client.post("/generate", json=fields, headers={"Last-Event-ID": "1.2"})
    assert wrong.status_code == 422
    assert "Last-Event-ID: is not an id" in wrong.json()["detail"]


def test_an_error_before_the_first_character_is_a_status_not_an_event(client: TestClient) -> None:
    assert client.post("/generate", json={"prefix": "本", "stream": True}).status_code == 422
