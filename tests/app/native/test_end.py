"""Where a text ends, asked for over HTTP: the library's text, cut there, however it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from app.native.fields import End
from model import checkpoint as checkpoints
from model.language_model import LanguageModel
from model.text.boundaries import ENDS, MAX_BEYOND
from model.text.rules import TextRules
from tests.app.conftest import answer_of, client_of, service_behind
from tests.models import random_checkpoint

CHARACTERS = "ab '.1\n␃e\u0332\u200d\U0001f468\U0001f469\U0001f1e9\U0001f1ea"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    rules = TextRules(lowercase=False, newlines="keep")
    checkpoints.save(folder / "tiny", random_checkpoint("gru", 2, 12, CHARACTERS, scale=1.5, rules=rules))
    checkpoints.save(folder / "letters", random_checkpoint("rnn", 1, 8, "ab"))
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with client_of(folder) as client:
        yield client


@pytest.fixture(scope="module")
def lm(client: TestClient) -> LanguageModel:
    return service_behind(client).registry.get("tiny").lm


def test_the_fields_name_every_end_of_the_library() -> None:
    assert get_args(get_args(End.__value__)[0]) == ENDS


@settings(max_examples=25, deadline=None)
@given(
    prefix=st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=4),
    num_chars=st.integers(1, 40),
    end=st.sampled_from([None, *ENDS]),
    stop=st.lists(st.text(st.sampled_from("ab '.\n"), min_size=1, max_size=2), max_size=2),
    sampled=st.booleans(),
    n=st.integers(1, 3),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_request_gives_what_the_library_gives_for_it(
    client: TestClient, lm: LanguageModel, prefix: str, num_chars: int, end: str | None, stop: list[str], sampled: bool,
    n: int, seed: int,
) -> None:  # fmt: skip
    options: dict[str, Any] = {"num_chars": num_chars, "end": end, "stop": stop, "n": n}
    options |= {"temperature": 1.1, "top_p": 0.97, "seed": seed} if sampled else {}
    expected = lm.generate([prefix], **options)
    found = answer_of(client, prefix=prefix, **options)
    choices = [
        {"text": one.text, "generated": one.generated, "finish_reason": one.finish_reason, "seed": one.seed}
        for one in expected
    ]
    assert {name: found[name] for name in choices[0]} == choices[0]
    assert found.get("choices", choices) == choices


SAMPLED: dict[str, Any] = {"prefix": "a", "num_chars": 9, "temperature": 1.2, "seed": 4}


@pytest.mark.parametrize("end", ENDS)
def test_a_query_a_form_and_a_stream_end_at_the_same_place(client: TestClient, end: str) -> None:
    asked = {**SAMPLED, "end": end, "n": 3}
    whole = answer_of(client, **asked)
    assert "end" in {choice["finish_reason"] for choice in whole["choices"]}
    for found in (client.get("/generate", params=asked), client.post("/generate", data=asked)):
        assert found.json()["choices"] == whole["choices"]
    streamed = client.get("/generate", params={**asked, "stream": True}).text
    events = [json.loads(line[6:]) for line in streamed.split("\n") if line.startswith("data: ")]
    assert events[-1]["choices"] == whole["choices"]
    texts = [""] * 3
    for chunk in events[:-1]:
        texts[chunk["index"]] += chunk["text"]
    assert texts == [choice["generated"] for choice in whole["choices"]]


@pytest.mark.parametrize("end", ENDS)
def test_a_token_and_log_probabilities_are_of_the_text_that_was_shown(client: TestClient, end: str) -> None:
    longer = answer_of(client, **{**SAMPLED, "num_chars": 500}, logprobs=1)
    cut = answer_of(client, **SAMPLED, end=end, return_state=True, logprobs=1)
    assert cut["finish_reason"] == "end"
    length = len(cut["generated"])
    assert cut["logprobs"] == longer["logprobs"][:length]
    further = answer_of(client, state=cut["state"], num_chars=20, temperature=1.2)
    assert further["generated"] == longer["generated"][length : length + 20]


def test_behind_a_token_the_character_before_counts(client: TestClient) -> None:
    begun = answer_of(client, prefix="a\U0001f1e9", num_chars=1, return_state=True)
    found = answer_of(client, state=begun["state"], num_chars=1, end="grapheme", temperature=1.0, seed=1)
    assert found["finish_reason"] == "end"


def test_a_stream_that_was_cut_off_beyond_num_chars_goes_on(client: TestClient) -> None:
    asked = {**SAMPLED, "num_chars": 1, "end": "document", "stream": True, "seed": 1}
    streamed = client.get("/generate", params=asked).text
    ids = [line[4:] for line in streamed.split("\n") if line.startswith("id: ")]
    seen, rest = ids[-2].split("-", 1)
    assert int(seen) > 2
    again = client.get("/generate", params=asked, headers={"Last-Event-ID": f"{int(seen) - 1}-{rest}"}).text
    whole = json.loads(streamed.split("event: done\ndata: ")[1].split("\n")[0])["generated"]
    assert json.loads(again.split("\n")[1].removeprefix("data: "))["text"] == whole[int(seen) - 1]
    wrong = client.get("/generate", params=asked, headers={"Last-Event-ID": f"{2 + MAX_BEYOND}-{rest}"})
    assert wrong.json()["errors"][0]["message"] == "is behind 1002 characters; num_chars is 1, and end 'document'"


def test_an_end_that_there_is_not_is_refused_by_name(client: TestClient) -> None:
    page = answer_of(client, 422, prefix="a", end="page")
    assert page["errors"][0]["field"] == "end"
    assert "'grapheme', 'word', 'line' or 'document'" in page["errors"][0]["message"]
    line = answer_of(client, 422, prefix="a", end="line", model="letters")
    assert line["errors"] == [
        {"field": "end", "message": "this model has never seen the end of a line; it may be grapheme, word"}
    ]


def test_the_memory_of_what_may_come_beyond_is_reckoned(folder: Path) -> None:
    with client_of(folder, max_answer_mb=1) as client:
        answer_of(client, prefix="a", num_chars=300, n=2, logprobs=20)
        refused = answer_of(client, 422, prefix="a", num_chars=300, n=2, logprobs=20, end="word")
    assert refused["errors"][0]["field"] == "num_chars"
    assert "2 × 1300 characters" in refused["errors"][0]["message"]


def test_the_openai_dialect_has_no_such_field(client: TestClient) -> None:
    refused = client.post("/v1/completions", json={"model": "tiny", "prompt": "a", "end": "word"})
    assert refused.status_code == 400
