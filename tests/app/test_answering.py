"""From fields to what the scheduler takes, and from its results to bodies, over small models with random weights."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app import answering, state_token
from app.answering import Question, check_length, check_size, name_field, problem_of, question
from app.errors import ProblemError
from app.generation import (
    AnswersFull,
    Cancelled,
    Choice,
    Continuation,
    DeadlineExceeded,
    Draining,
    GenerateRequest,
    NotReady,
    QueueFull,
    Result,
    SchedulerError,
    ScoreRequest,
    StepFailed,
)
from app.long_json import pieces
from app.schemas import GenerateFields
from app.settings import Settings
from model import checkpoint as checkpoints
from model.corpus import TextRules
from model.errors import OptionError, UnknownCharactersError
from model.measure import Measured
from model.sampling import Sampling
from tests.app.conftest import client_of, settings
from tests.models import LETTERS, random_checkpoint

# Without an engine: fields, and what the scheduler is asked.


class Model:
    """What `question` needs of one that is served, counting how often it reads a prefix."""

    def __init__(self) -> None:
        self.checkpoint = replace(random_checkpoint("lstm", 2, 8), digest="cd" * 32)
        self.vocabulary = self.checkpoint.vocabulary
        self.prepared: list[tuple[str, str]] = []
        self.served: Any = SimpleNamespace(name="tiny", lm=self)

    def prepare(self, prefix: str, unknown: str = "error") -> tuple[str, Any]:
        self.prepared.append((prefix, unknown))
        return prefix.lower(), self.vocabulary.encode(prefix.lower()).astype("int64")

    def token(self, seed: int | None, secret: bytes = b"secret", digest: str | None = None) -> str:
        state = Continuation(tuple(np.full(8, i, np.float32) for i in range(4)), pending=3, position=41)
        return state_token.sign(state, seed, digest or self.checkpoint.digest, secret)


MODEL = Model()
DRAWN = 77


def asked(model: Model = MODEL, own: Settings | None = None, **fields: Any) -> Question:
    given = {"prefix": "Ab", **fields}
    return question(
        GenerateFields(**given), model.served, own or settings(Path()), b"secret", caller="me", drawn_seed=DRAWN
    )


def refused(own: Settings | None = None, **fields: Any) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        asked(own=own, **fields)
    assert caught.value.detail.startswith(f"{caught.value.errors[0]['field']}: ")
    return caught.value


def test_every_field_reaches_the_scheduler() -> None:
    fields: dict[str, Any] = {"num_chars": 7, "n": 3, "logprobs": 2, "return_state": True, "stream": True}
    model = Model()
    found = asked(
        model,
        settings(Path(), request_timeout_s=17),
        temperature=0.7, top_k=5, top_p=0.9, seed=6, stop=["ab", "本", "c"], unknown="skip", **fields,
    )  # fmt: skip
    assert model.prepared == [("Ab", "skip")]
    assert (found.served, found.prefix, found.unmatchable_stops) == (model.served, "ab", ("本",))
    request = found.request
    assert request.prefix.tolist() == model.vocabulary.encode("ab").tolist()
    assert request.sampling == Sampling(0.7, 5, 0.9, 6)
    assert (request.stop, request.timeout_s, request.caller, request.state) == (("ab", "c"), 17, "me", None)
    assert {name: getattr(request, name) for name in fields} == fields


def test_what_is_not_asked_for_is_not_done() -> None:
    request = asked().request
    assert (request.n, request.logprobs, request.return_state, request.stream) == (1, None, False, False)
    assert (request.sampling, request.num_chars, request.stop) == (Sampling(), 100, ())


def test_a_prefix_that_was_read_already_is_not_read_again() -> None:
    model, indices = Model(), np.array([1, 2], np.int64)
    fields = GenerateFields(prefix="AB")
    found = question(fields, model.served, settings(Path()), b"secret", prepared=("seen", indices))
    assert (model.prepared, found.prefix) == ([], "seen")
    assert found.request.prefix is indices
    assert found.request.caller == ""


@pytest.mark.parametrize(
    ("fields", "own", "seed"),
    [
        ({"temperature": 1.0}, None, DRAWN),
        ({"temperature": 1.0, "seed": 0}, None, 0),
        ({"temperature": 1.0, "seed": 6}, None, 6),
        ({"temperature": 0.0}, None, None),
        ({"temperature": 0.0, "seed": 6}, None, None),
        ({"temperature": 1.0}, 5, 5),
        ({"temperature": 1.0}, 0, 0),
        ({"temperature": 1.0, "seed": 0}, 5, 0),
        ({"temperature": 1.0, "seed": 6}, 5, 6),
        ({"temperature": 0.0}, 5, None),
    ],
)
@pytest.mark.parametrize("token", [False, True])
def test_the_seed_is_the_one_given_else_the_tokens_own_else_the_one_drawn_before(
    fields: dict[str, Any], own: int | None, seed: int | None, token: bool
) -> None:
    """own: the token's seed; without a token it cannot matter."""
    if token:
        request = asked(prefix=None, state=MODEL.token(own), **fields).request
        assert (len(request.prefix), request.prefix.dtype) == (0, np.int64)
        assert request.state is not None
        assert (request.state.position, request.state.pending) == (41, 3)
        assert request.sampling.seed == seed
    else:
        expected = DRAWN if "seed" not in fields and seed is not None else seed
        assert asked(**fields).request.sampling.seed == expected


def test_a_seed_is_drawn_where_none_is_known() -> None:
    fields = GenerateFields(prefix="a", temperature=1.0)
    drawn = {question(fields, MODEL.served, settings(Path()), b"secret").request.sampling.seed for _ in range(3)}
    assert len(drawn) == 3
    assert all(isinstance(seed, int) for seed in drawn)


def test_a_token_has_no_prefix() -> None:
    assert asked(prefix=None, state=MODEL.token(1)).prefix == ""


@pytest.mark.parametrize(
    ("fields", "says"), [({"state": "x"}, "both"), ({"prefix": None}, "missing"), ({"prefix": "", "state": ""}, "both")]
)
def test_exactly_one_of_prefix_and_state_is_needed(fields: dict[str, Any], says: str) -> None:
    problem = refused(**fields)
    assert (problem.status, problem.errors[0]["field"]) == (422, "prefix")
    assert says in problem.detail


def test_a_token_of_other_weights_is_a_conflict_and_one_of_another_secret_is_none() -> None:
    problem = refused(prefix=None, state=MODEL.token(1, digest="ab" * 32))
    assert (problem.status, problem.errors) == (409, [{"field": "state", "message": problem.detail}])
    with pytest.raises(OptionError) as caught:
        asked(prefix=None, state=MODEL.token(1, b"other"))
    assert caught.value.field == "state"


def test_lengths_are_allowed_up_to_the_setting() -> None:
    own = settings(Path(), max_num_chars=5, max_prefix_chars=3)
    asked(own=own, prefix="abc", num_chars=5)
    for fields, field, said in (({"num_chars": 6}, "num_chars", "6"), ({"prefix": "abcd"}, "prefix", "4 characters")):
        problem = refused(own, **{"num_chars": 5, **fields})
        assert (problem.status, problem.errors[0]["field"]) == (422, field)
        assert said in problem.detail
        assert str(own.max_num_chars if field == "num_chars" else own.max_prefix_chars) in problem.detail
    check_length("x", 3, 3)


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
        asked(own=own, num_chars=fits, logprobs=2, prefix="ab")


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (QueueFull("why"), 429, "queue_full", "1"),
        (AnswersFull("why"), 429, "queue_full", "1"),
        (StepFailed("why"), 500, None, None),
        (DeadlineExceeded("why"), 503, "timeout", "1"),
        (NotReady("why"), 503, None, "5"),
        (Draining("why"), 503, None, "5"),
        (Cancelled("why"), 503, None, "1"),
    ],
)
def test_what_the_scheduler_does_not_carry_out_is_an_answer_that_says_when_to_ask_again(
    error: SchedulerError, status: int, code: str | None, retry_after: str | None
) -> None:
    def refuse(_: object) -> None:
        raise error

    scheduler = SimpleNamespace(submit=refuse, submit_score=refuse)
    served: Any = SimpleNamespace(name="tiny", lm=MODEL, scheduler=scheduler)
    found = [problem_of(error)]
    for submit in (
        lambda: answering.submit(Question(served, asked().request, "ab")),
        lambda: answering.submit_score(served, score_of(2), settings(Path()), "text"),
    ):
        with pytest.raises(ProblemError) as caught:
            submit()
        assert caught.value.__cause__ is error
        found.append(caught.value)
    for problem in found:
        assert (problem.status, problem.code, problem.detail) == (status, code, "why")
        assert problem.headers == ({} if retry_after is None else {"Retry-After": retry_after})


def test_what_the_scheduler_takes_is_given_back() -> None:
    scheduler = SimpleNamespace(submit=lambda request: ("text", request), submit_score=lambda r: ("score", r))
    served: Any = SimpleNamespace(name="tiny", lm=MODEL, scheduler=scheduler)
    request, score = asked().request, score_of(2)
    assert answering.submit(Question(served, request, "ab")) == ("text", request)  # type: ignore[comparison-overlap]
    given: Any = answering.submit_score(served, score, settings(Path()), "text")
    assert given == ("score", score)
    with pytest.raises(OptionError, match=r"^prompt: "):
        answering.submit_score(served, score_of(10**6), settings(Path(), max_answer_mb=1), "prompt")


# From results to bodies.


def body(choices: tuple[Choice, ...], decode_ms: float = 500.0, **more: Any) -> dict[str, Any]:
    found = Question(MODEL.served, asked().request, "ab", **more)
    result = Result(choices, 1.23456, decode_ms, 2, 1234)
    told: dict[str, Any] = json.loads(b"".join(pieces(answering.answer(found, result, b"secret"))))
    return told


def test_an_answer_tells_the_text_where_it_comes_from_and_how_long_it_took() -> None:
    told = body((Choice(0, "xyz", "stop", 6, None, None),), 501.23456)
    assert told == {
        "text": "abxyz",
        "generated": "xyz",
        "finish_reason": "stop",
        "seed": 6,
        "prefix": "ab",
        "model": "tiny",
        "timing": {"queue_ms": 1.235, "decode_ms": 501.235, "chars_per_second": round(1234 / 0.50123456, 1)},
    }
    assert body((Choice(0, "", "stop", None, None, None),), 0.0)["timing"]["chars_per_second"] == 0
    assert body((Choice(0, "", "stop", None, None, None),), 0.5)["timing"]["chars_per_second"] == 2_468_000


def test_several_choices_are_all_told_and_the_first_stands_above_too() -> None:
    told = body(tuple(Choice(i, "xyz"[i:], "length", 6 + i, None, None) for i in range(2)), unmatchable_stops=("本",))
    assert [(c["text"], c["seed"]) for c in told["choices"]] == [("abxyz", 6), ("abyz", 7)]
    assert {**told, **told["choices"][0]} == told
    assert told["unmatchable_stops"] == ["本"]


@pytest.mark.parametrize("alternatives", [0, 2])
def test_each_character_has_its_figure_and_its_rivals(alternatives: int) -> None:
    tops, values = np.array([[4, 3], [2, 1], [0, 5]])[:, :alternatives], -np.arange(6.0).reshape(3, 2)[:, :alternatives]
    measured = Measured(np.array([-0.5, -1.5, -2.5]), np.zeros(3, np.int32), np.ones(3), tops.astype(np.int32), values)
    letters = MODEL.vocabulary.characters
    expected = [
        {
            "character": character,
            "logprob": logprob,
            "alternatives": [{"character": letters[i], "logprob": value} for i, value in zip(row, own, strict=True)],
        }
        for character, logprob, row, own in zip("xyz", [-0.5, -1.5, -2.5], tops.tolist(), values.tolist(), strict=True)
    ]
    assert body((Choice(0, "xyz", "length", 6, measured, None),))["logprobs"] == expected
    long = answering.logprobs(letters, "xyz", measured)
    assert (long.length, long.values_each) == (3, 1 + alternatives)
    assert long.part(1, 3) == expected[1:]


def test_the_token_of_each_choice_is_signed_with_its_own_seed() -> None:
    state = Continuation(tuple(np.full(8, i, np.float32) for i in range(4)), pending=3, position=41)
    told = body(tuple(Choice(i, "xyz", "length", seed, None, state) for i, seed in enumerate((6, 7, None))))
    for choice, seed in zip(told["choices"], (6, 7, None), strict=True):
        checkpoint = MODEL.checkpoint
        read, read_seed = state_token.read(choice["state"], b"secret", checkpoint.config, checkpoint.digest)
        assert (read_seed, read.position, read.pending) == (seed, 41, 3)


def test_unknown_characters_are_named_with_their_places_a_thousand_at_most() -> None:
    positions = {chr(0x4E00 + i): [i] for i in range(1500)} | {"a": list(range(1500))}
    error = UnknownCharactersError({"a": positions.pop("a"), **positions})
    problem = name_field(error, "prompt")
    assert (problem.status, problem.code) == (422, "unknown_characters")
    assert problem.detail == f"prompt: {error}"
    (item,) = problem.errors
    assert (item["field"], item["message"], len(item["unknown"])) == ("prompt", str(error), 1000)
    assert item["unknown"][0] == {"character": "a", "positions": list(range(1000))}
    assert item["unknown"][1] == {"character": "\u4e00", "positions": [0]}


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
