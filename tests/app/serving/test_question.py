"""From checked values to what the scheduler takes, and over small models with random weights what comes of it."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.refusals import QueueFull
from app.scheduling.requests import Continuation, GenerateRequest, ScoreRequest
from app.serving import question as answering
from app.serving.question import Options, Question, bounded, check_size, question
from app.settings import Settings
from model import checkpoint as checkpoints
from model.errors import OptionError
from model.sampling.options import Sampling
from model.text.rules import TextRules
from tests.app.conftest import client_of, settings
from tests.app.without_engine import Model, continuation
from tests.models import LETTERS, random_checkpoint

# Without an engine: options, and what the scheduler is asked.

MODEL = Model()
DRAWN = 77
AB = ("ab", np.array([1, 2], np.int64))


def asked(
    start: tuple[str, Any] | Continuation = AB, own: Settings | None = None, num_chars: int = 100, **options: Any
) -> Question:
    return question(
        Options(num_chars, **options), start, MODEL.served, own or settings(Path()), caller="me", drawn_seed=DRAWN
    )


def test_every_option_reaches_the_scheduler() -> None:
    options: dict[str, Any] = {"num_chars": 7, "n": 3, "logprobs": 2, "return_state": True, "stream": True}
    found = asked(
        AB,
        settings(Path(), request_timeout_s=17),
        temperature=0.7, top_k=5, top_p=0.9, seed=6, stop=("ab", "本", "c"), **options,
    )  # fmt: skip
    assert (found.served, found.prefix, found.unmatchable_stops) == (MODEL.served, "ab", ("本",))
    request = found.request
    assert request.prefix is AB[1]
    assert request.sampling == Sampling(0.7, 5, 0.9, 6)
    assert (request.stop, request.timeout_s, request.caller, request.state) == (("ab", "c"), 17, "me", None)
    assert {name: getattr(request, name) for name in options} == options


def test_what_is_not_asked_for_is_not_done() -> None:
    request = question(Options(100), AB, MODEL.served, settings(Path())).request
    assert (request.n, request.logprobs, request.return_state, request.stream) == (1, None, False, False)
    assert (request.sampling, request.num_chars, request.stop, request.caller) == (Sampling(), 100, (), "")


def test_where_an_earlier_text_ended_there_is_no_prefix() -> None:
    state = continuation()
    found = asked(state)
    assert found.prefix == ""
    assert found.request.state is state
    assert (len(found.request.prefix), found.request.prefix.dtype) == (0, np.dtype(np.int64))


def test_nothing_begins_with_a_first_character_or_behind_the_one_where_texts_begin() -> None:
    nothing = Continuation(continuation().arrays, None, 0)
    for start in (("", np.zeros(0, np.int64)), nothing):
        found = asked(start)
        assert (found.prefix, len(found.request.prefix), found.request.state) == ("", 0, None)
        assert found.request.first is MODEL.beginning.first
    behind = asked(("", np.array([3], np.int64)))
    assert (behind.prefix, behind.request.prefix.tolist(), behind.request.first) == ("", [3], None)
    assert asked().request.first is None
    assert asked(continuation()).request.first is None


@pytest.mark.parametrize("start", [AB, continuation()])
@pytest.mark.parametrize(
    ("temperature", "seed", "used"), [(1.0, None, DRAWN), (1.0, 0, 0), (1.0, 6, 6), (0.0, None, None), (0.0, 6, None)]
)
def test_the_seed_is_the_one_given_else_the_one_drawn_before(
    start: tuple[str, Any] | Continuation, temperature: float, seed: int | None, used: int | None
) -> None:
    assert asked(start, temperature=temperature, seed=seed).request.sampling.seed == used


def test_a_seed_is_drawn_where_none_is_known() -> None:
    own, options = settings(Path()), Options(100, temperature=1.0)
    drawn = {question(options, AB, MODEL.served, own).request.sampling.seed for _ in range(3)}
    assert len(drawn) == 3
    assert all(isinstance(seed, int) for seed in drawn)


def test_a_length_up_to_the_most_is_allowed() -> None:
    bounded("x", 3, 3)
    with pytest.raises(OptionError, match=r"^x: 4; this server allows 3$") as caught:
        bounded("x", 4, 3)
    assert (caught.value.field, caught.value.message) == ("x", "4; this server allows 3")
    with pytest.raises(OptionError, match=r"^text: has 4 characters; this server allows 3$"):
        bounded("text", 4, 3, "characters")


def score_of(length: int) -> ScoreRequest:
    return ScoreRequest(np.zeros(length, np.int64), alternatives=2)


def test_an_answer_takes_at_most_a_quarter_of_the_memory_for_all() -> None:
    """A row takes 4096 bytes, a character 16, measured 24 more and 12 for each alternative: docs/decisions.md."""
    own = settings(Path(), max_answer_mb=1)
    fits = (2**20 // 4 - 4096) // (16 + 24 + 2 * 12)
    assert 4096 + fits * 64 == 2**20 // 4
    check_size("text", score_of(fits), own)
    text = GenerateRequest(np.zeros(0, np.int64), fits, logprobs=2)
    check_size("num_chars", text, own)
    assert asked(own=own, num_chars=fits - 1, logprobs=2).request.num_chars == fits - 1
    for field, request, words in (
        ("text", score_of(fits + 1), [str(fits + 1), "2 alternatives"]),
        ("num_chars", replace(text, num_chars=fits + 1), ["1 ×", str(fits + 1), "2 alternatives"]),
        ("num_chars", replace(text, n=8, logprobs=None), ["8 ×", str(fits)]),
    ):
        with pytest.raises(OptionError) as caught:
            check_size(field, request, own)
        assert caught.value.field == field
        assert all(word in str(caught.value) for word in [*words, "0.262 MB"])
    with pytest.raises(OptionError, match=r"^num_chars: 1 × "):
        asked(own=own, num_chars=fits, logprobs=2)


def test_what_the_scheduler_refuses_is_refused() -> None:
    error = QueueFull("why")

    def refuse(_: object) -> None:
        raise error

    served: Any = SimpleNamespace(name="tiny", lm=MODEL, scheduler=SimpleNamespace(submit=refuse, submit_score=refuse))
    for submit in (
        lambda: answering.submit(Question(served, asked().request, "ab")),
        lambda: answering.submit_score(served, score_of(2), settings(Path()), "text"),
    ):
        with pytest.raises(QueueFull) as caught:
            submit()
        assert caught.value is error


def test_what_the_scheduler_takes_is_given_back() -> None:
    scheduler = SimpleNamespace(submit=lambda request: ("text", request), submit_score=lambda r: ("score", r))
    served: Any = SimpleNamespace(name="tiny", lm=MODEL, scheduler=scheduler)
    request, score = asked().request, score_of(2)
    assert answering.submit(Question(served, request, "ab")) == ("text", request)  # type: ignore[comparison-overlap]
    given: Any = answering.submit_score(served, score, settings(Path()), "text")
    assert given == ("score", score)
    with pytest.raises(OptionError, match=r"^prompt: "):
        answering.submit_score(served, score_of(10**6), settings(Path(), max_answer_mb=1), "prompt")


# Over a model.


@pytest.fixture(scope="module")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that lower-cases and writes neither newlines nor é in two characters."""
    folder = tmp_path_factory.mktemp("spaces")
    checkpoints.save(folder / "tiny", random_checkpoint("lstm", 2, 24, characters=LETTERS + "é", scale=4.0))
    return folder


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/generate", json={"num_chars": 200, "temperature": 1.0, "seed": 5, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize("stop", ["\n", "A", unicodedata.normalize("NFD", "é"), "a本", "\r\n"])
def test_a_stop_that_the_model_cannot_write_never_matches_and_is_named(spaces: Path, stop: str) -> None:
    with client_of(spaces) as client:
        whole = ask(client, prefix="分开")["generated"]
        assert {" ", "a", "é", "本"} & set(whole) >= {" ", "a", "é"}
        body = ask(client, prefix="分开", stop=[stop, "zzzz"])
        assert (body["generated"], body["finish_reason"]) == (whole, "length")
        assert body["unmatchable_stops"] == [stop]


def test_a_model_that_keeps_newlines_and_case_stops_at_them(tmp_path: Path) -> None:
    rules = TextRules(lowercase=False, newlines="keep")
    checkpoints.save(tmp_path / "tiny", random_checkpoint("rnn", characters="abcABC \n", scale=4.0, rules=rules))
    with client_of(tmp_path) as client:
        whole = ask(client, prefix="a")["generated"]
        for stop in ("\n", "A"):
            body = ask(client, prefix="a", stop=[stop])
            assert body["generated"] == whole[: whole.index(stop)]
            assert "unmatchable_stops" not in body
