"""From the fields of `/generate` to what the scheduler takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.native.asking import question_of
from app.native.fields import GenerateFields
from app.serving.question import Question
from app.settings import Settings
from app.wire.problems import ProblemError, from_domain
from model.errors import NextcharError, OptionError
from model.sampling.options import Sampling
from tests.app.conftest import settings
from tests.app.without_engine import Model

MODEL = Model()
DRAWN = 77


def asked(model: Model = MODEL, own: Settings | None = None, **fields: Any) -> Question:
    given = {"prefix": "Ab", **fields}
    return question_of(
        GenerateFields(**given), model.served, own or settings(Path()), b"secret", caller="me", drawn_seed=DRAWN
    )


def refused(own: Settings | None = None, **fields: Any) -> ProblemError:
    """As a client is told of it."""
    with pytest.raises((ProblemError, NextcharError)) as caught:
        asked(own=own, **fields)
    error = caught.value
    assert isinstance(error, (ProblemError, NextcharError))
    problem = error if isinstance(error, ProblemError) else from_domain(error)
    assert problem.detail.startswith(f"{problem.errors[0]['field']}: ")
    return problem


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
        assert (len(request.prefix), request.prefix.dtype) == (0, np.dtype(np.int64))
        assert request.state is not None
        assert (request.state.position, request.state.pending) == (41, 3)
        assert request.sampling.seed == seed
    else:
        expected = DRAWN if "seed" not in fields and seed is not None else seed
        assert asked(**fields).request.sampling.seed == expected


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
    assert (problem.status, problem.errors) == (
        409,
        [{"field": "state", "message": problem.detail.removeprefix("state: ")}],
    )
    assert problem.detail.startswith("state: ")
    with pytest.raises(OptionError) as caught:
        asked(prefix=None, state=MODEL.token(1, b"other"))
    assert caught.value.field == "state"


def test_lengths_are_allowed_up_to_the_setting() -> None:
    own = settings(Path(), max_num_chars=5, max_prefix_chars=3)
    asked(own=own, prefix="abc", num_chars=5)
    for fields, field, said in (({"num_chars": 6}, "num_chars", "6"), ({"prefix": "abcd"}, "prefix", "4 characters")):
        problem = refused(own, **{"num_chars": 5, **fields})
        assert (problem.status, problem.errors[0]["field"]) == (422, field)
        assert problem.detail == f"{field}: {problem.errors[0]['message']}"
        assert said in problem.detail
        assert str(own.max_num_chars if field == "num_chars" else own.max_prefix_chars) in problem.detail
