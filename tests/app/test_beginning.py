"""Nothing as a prefix, over a real socket: whatever the model knows of how texts begin, every route writes what the
library writes, and that is what the readable reference writes."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest

from model import checkpoint as checkpoints
from model.engines.choice import open_engine
from model.language_model import LanguageModel
from tests.app.conftest import Server
from tests.beginnings import CASES, COUNTS, from_nothing

WRITTEN = 24
SAMPLED: dict[str, Any] = {"temperature": 1.2, "top_p": 0.9, "seed": 6}
OPTIONS: list[dict[str, Any]] = [{}, SAMPLED, {**SAMPLED, "top_k": 3}]
# One model that reads a character and one that draws it; the others make the tests take longer.
EVERY_CASE = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("line", "drawn") else [pytest.mark.slow]) for name in CASES]
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("beginnings")
    for name, case in CASES.items():
        checkpoints.save(folder / "models" / name, case.checkpoint)
    few_places: dict[str, Any] = {"NEXTCHAR_DEFAULT_MODEL": "drawn", "NEXTCHAR_MAX_ROWS": "4"}
    with (
        Server(folder, folder / "models", **few_places) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


@cache
def library(name: str) -> LanguageModel:
    return LanguageModel(CASES[name].checkpoint, open_engine(CASES[name].checkpoint, "cpu"))


def asked(client: httpx.Client, status: int = 200, **fields: Any) -> Any:
    response = client.post("/generate", json={"prefix": "", "num_chars": WRITTEN, **fields})
    assert response.status_code == status, response.text
    return response.json()


def completed(client: httpx.Client, name: str, **fields: Any) -> Any:
    body = {"model": name, "prompt": "", "max_tokens": WRITTEN, "temperature": 0, **fields}
    response = client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def events(client: httpx.Client, last_event_id: str = "", **fields: Any) -> list[tuple[str, str, Any]]:
    """Name, id and data of each."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    body = {"prefix": "", "num_chars": WRITTEN, "stream": True, **fields}
    response = client.post("/generate", json=body, headers=headers)
    assert response.status_code == 200, response.text
    blocks = [block.split("\n") for block in response.text.split("\n\n") if block and not block.startswith(":")]
    found = [dict(line.split(": ", 1) for line in block) for block in blocks]
    return [(event["event"], event.get("id", ""), json.loads(event["data"])) for event in found]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("options", OPTIONS)
def test_every_route_writes_what_the_library_and_the_reference_do(
    client: httpx.Client, name: str, options: Any
) -> None:
    (expected,) = library(name).generate([""], WRITTEN, **options)
    assert expected.generated == from_nothing(CASES[name], WRITTEN, **options)[0]
    answer = asked(client, model=name, **options)
    told = {key: answer[key] for key in ("prefix", "text", "generated", "seed", "finish_reason")}
    assert told == {
        "prefix": "", "text": expected.text, "generated": expected.text, "seed": expected.seed,
        "finish_reason": "length",
    }  # fmt: skip
    query = {"prefix": "", "num_chars": WRITTEN, "model": name, **options}
    for response in (
        client.get("/generate", params=query),
        client.post("/generate", params=query),
        client.post("/generate", data=query),
    ):
        assert response.json()["text"] == expected.text
    streamed = events(client, model=name, **options)
    assert "".join(data["text"] for kind, _, data in streamed if kind == "chunk") == expected.text
    if "top_k" not in options:
        (choice,) = completed(client, name, **options)["choices"]
        assert choice["text"] == expected.text


@EVERY_CASE
def test_each_of_several_begins_for_itself_with_its_own_seed(client: httpx.Client, name: str) -> None:
    seeds = range(6, 6 + 7)  # more than there are places
    expected = [library(name).generate([""], WRITTEN, temperature=1.2, seed=seed)[0].text for seed in seeds]
    answer = asked(client, model=name, temperature=1.2, seed=6, n=7)
    assert [(choice["text"], choice["seed"]) for choice in answer["choices"]] == list(zip(expected, seeds, strict=True))
    choices = completed(client, name, prompt=["", "分", ""], temperature=1.2, seed=6, n=7)["choices"]
    assert [choice["text"] for choice in choices] == [
        *expected,
        *(library(name).generate(["分"], WRITTEN, temperature=1.2, seed=seed)[0].generated for seed in seeds),
        *expected,
    ]
    if not CASES[name].read:
        assert len({text[0] for text in expected}) > 1


@EVERY_CASE
@pytest.mark.parametrize("num_chars", [1, 2])
def test_the_shortest_texts_come_whole_and_streamed(client: httpx.Client, name: str, num_chars: int) -> None:
    expected = [library(name).generate([""], num_chars, temperature=2.0, seed=seed)[0].text for seed in (8, 9)]
    fields: dict[str, Any] = {"model": name, "num_chars": num_chars, "temperature": 2.0, "seed": 8, "n": 2}
    answer = asked(client, **fields)
    assert [choice["text"] for choice in answer["choices"]] == expected
    assert answer["timing"]["queue_ms"] >= 0
    found = events(client, **fields, logprobs=1, return_state=True)
    for index, text in enumerate(expected):
        chunks = [data for kind, _, data in found if kind == "chunk" and data["index"] == index]
        assert "".join(chunk["text"] for chunk in chunks) == text
        assert "".join(one["character"] for chunk in chunks for one in chunk["logprobs"]) == text
    assert (found[-1][0], found[-1][1]) == ("done", "done")
    assert [choice["text"] for choice in found[-1][2]["choices"]] == expected


@EVERY_CASE
def test_log_probabilities_are_those_of_what_the_character_was_chosen_from(client: httpx.Client, name: str) -> None:
    text, logprobs = from_nothing(CASES[name], WRITTEN, **SAMPLED)
    answer = asked(client, model=name, logprobs=20, **SAMPLED)
    assert [one["character"] for one in answer["logprobs"]] == list(text)
    assert [one["logprob"] for one in answer["logprobs"]] == pytest.approx(logprobs, abs=1e-4)
    characters = library(name).vocabulary.characters
    for one in answer["logprobs"]:
        others = one["alternatives"]
        assert sorted(other["character"] for other in others) == sorted(characters)
        assert [other["logprob"] for other in others] == sorted((o["logprob"] for o in others), reverse=True)
    for echo in (False, True):
        (choice,) = completed(client, name, logprobs=2, echo=echo, temperature=1.2, top_p=0.9, seed=6)["choices"]
        assert (choice["text"], choice["logprobs"]["tokens"]) == (text, list(text))
        assert choice["logprobs"]["token_logprobs"] == pytest.approx(logprobs, abs=1e-4)
        assert choice["logprobs"]["text_offset"] == list(range(WRITTEN))


@EVERY_CASE
@pytest.mark.parametrize("echo", [False, True])
def test_a_stream_under_v1_says_what_the_whole_answer_says(client: httpx.Client, name: str, echo: bool) -> None:
    wish: dict[str, Any] = {"prompt": ["", "分"], "temperature": 1.2, "seed": 6, "n": 2, "echo": echo, "logprobs": 1}
    whole = completed(client, name, **wish)["choices"]
    body = {"model": name, "max_tokens": WRITTEN, "stream": True, **wish}
    *blocks, done, nothing = client.post("/v1/completions", json=body).text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    parts = [json.loads(block.removeprefix("data: "))["choices"][0] for block in blocks]
    for choice in whole:
        own = [part for part in parts if part["index"] == choice["index"]]
        assert "".join(part["text"] for part in own) == choice["text"]
        for column in ("tokens", "token_logprobs", "text_offset"):
            together = [value for part in own if part["logprobs"] for value in part["logprobs"][column]]
            assert together == choice["logprobs"][column]


def test_the_first_ones_are_the_shares_of_lines(client: httpx.Client) -> None:
    (first,) = asked(client, model="drawn", num_chars=1, logprobs=20)["logprobs"]
    shares = {other["character"]: other["logprob"] for other in first["alternatives"]}
    total = sum(COUNTS.values())
    for character, logprob in shares.items():
        if character in COUNTS:
            assert 2.718281828**logprob == pytest.approx(COUNTS[character] / total)
        else:
            assert logprob < -9000


@EVERY_CASE
def test_echoed_nothing_is_scored_and_counted_as_nothing(client: httpx.Client, name: str) -> None:
    body = completed(client, name, prompt=["", "ab"], echo=True, logprobs=1, max_tokens=0)
    empty, scored = body["choices"]
    assert (empty["text"], empty["finish_reason"]) == ("", "length")
    assert empty["logprobs"] == {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    assert scored["text"] == "ab"
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 0, "total_tokens": 2}
    assert completed(client, name)["usage"] == {
        "prompt_tokens": 0, "completion_tokens": WRITTEN, "total_tokens": WRITTEN,
    }  # fmt: skip


@EVERY_CASE
@pytest.mark.parametrize("options", OPTIONS[:2])
def test_stop_strings_end_it_anywhere_and_the_state_goes_on_there(
    client: httpx.Client, name: str, options: Any
) -> None:
    whole = library(name).generate([""], WRITTEN, **options)[0].text
    for at in (0, 1, 2, 9):
        stop = whole[at : at + 2]
        shown = whole[: whole.index(stop)]
        found = asked(client, model=name, stop=[stop], return_state=True, logprobs=0, **options)
        assert (found["text"], found["finish_reason"]) == (shown, "stop")
        assert len(found["logprobs"]) == len(shown)
        rest = WRITTEN - len(shown)
        going_on = {key: value for key, value in options.items() if key != "seed"}
        on = asked(client, model=name, prefix=None, state=found["state"], num_chars=rest, **going_on)
        assert shown + on["generated"] == whole
        assert on["seed"] == options.get("seed")
        streamed = events(client, model=name, stop=[stop], **options)
        assert "".join(data["text"] for kind, _, data in streamed if kind == "chunk") == shown


@EVERY_CASE
@pytest.mark.parametrize("num_chars", [1, 5])
def test_stops_and_ends_are_the_librarys(client: httpx.Client, name: str, num_chars: int) -> None:
    lm = library(name)
    whole = lm.generate([""], WRITTEN, temperature=1.2, seed=6)[0].text
    wishes: list[dict[str, Any]] = [{"end": "grapheme"}, {"end": "word"}, {"stop": [whole[0], whole[2:4]]}]
    wishes += [{"end": "line"}] if "\n" in lm.vocabulary.characters else []
    for wish in wishes:
        fields = {"num_chars": num_chars, "temperature": 1.2, "seed": 6, "n": 3, **wish}
        found = [(choice["text"], choice["finish_reason"]) for choice in asked(client, model=name, **fields)["choices"]]
        assert found == [(one.text, one.finish_reason) for one in lm.generate([""], **fields)]


@EVERY_CASE
@pytest.mark.parametrize("num_chars", [1, 2, 7])
def test_the_state_at_the_end_goes_on_with_the_same_text(client: httpx.Client, name: str, num_chars: int) -> None:
    for options in OPTIONS[:2]:
        whole = library(name).generate([""], WRITTEN, **options)[0].text
        begun = asked(client, model=name, num_chars=num_chars, return_state=True, **options)
        going_on = {key: value for key, value in options.items() if key != "seed"}
        rest = WRITTEN - num_chars
        on = asked(client, model=name, prefix=None, state=begun["state"], num_chars=rest, **going_on)
        assert begun["text"] + on["generated"] == whole


@EVERY_CASE
def test_a_broken_stream_goes_on_behind_any_of_its_events(client: httpx.Client, name: str) -> None:
    several: list[dict[str, Any]] = [{"temperature": 1.5, "n": 2, "logprobs": 1}, {}]
    for fields in several:
        found = events(client, model=name, **fields)
        for place, (kind, event_id, _) in enumerate(found):
            if kind != "chunk":
                continue
            rest = events(client, event_id, model=name, **fields)
            for index in range(fields.get("n", 1)):
                whole = "".join(data["text"] for kind, _, data in found[:-1] if data["index"] == index)
                seen = "".join(data["text"] for _, _, data in found[: place + 1] if data["index"] == index)
                assert seen + "".join(data["text"] for _, _, data in rest[:-1] if data["index"] == index) == whole
            assert {**rest[-1][2], "timing": 0} == {**found[-1][2], "timing": 0}


@EVERY_CASE
def test_the_load_changes_nothing(client: httpx.Client, name: str) -> None:
    seeds = list(range(12))
    expected = [library(name).generate([""], WRITTEN, temperature=1.2, seed=seed)[0].text for seed in seeds]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = pool.map(lambda seed: asked(client, model=name, temperature=1.2, seed=seed)["text"], seeds)
        assert list(answers) == expected


def test_a_field_that_is_not_given_is_not_an_empty_one(client: httpx.Client) -> None:
    for response in (client.post("/generate", json={}), client.get("/generate")):
        assert response.status_code == 422
        assert "prefix: is missing" in response.json()["detail"]
    assert "not both" in asked(client, 422, state="x")["detail"]
    assert client.post("/score", json={"text": ""}).status_code == 422
    assert "never seen" in asked(client, 422, prefix="ß")["detail"]
    assert "holds no character that the model knows" in asked(client, 422, prefix="ß", unknown="skip")["detail"]
    missing = client.post("/v1/completions", json={"model": "drawn"})
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "prompt")


def test_head_and_accept_know_it_too(client: httpx.Client) -> None:
    assert client.head("/generate?prefix=").status_code == 200
    response = client.get("/generate?prefix=", headers={"Accept": "text/event-stream"})
    assert response.headers["content-type"].startswith("text/event-stream")
