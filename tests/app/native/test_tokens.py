from __future__ import annotations

from pathlib import Path
from string import ascii_letters, digits
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.native import tokens as state_token
from app.scheduling.requests import Continuation
from model import checkpoint as checkpoints
from model.config import GATES, ModelConfig
from model.errors import OptionError
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from tests.app.conftest import SECRET, answer_of, client_of
from tests.book import book_forward

DIGEST = "ab" * 32


def continuation(config: ModelConfig) -> Continuation:
    rng = np.random.default_rng(0)
    arrays = tuple(rng.normal(size=config.hidden_dim).astype(np.float32) for _ in config.state_names)
    return Continuation(arrays, pending=3, position=41)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("seed", [None, 0, 2**63 - 1])
def test_what_was_signed_is_read_back_bit_for_bit(cell: str, seed: int | None) -> None:
    config = ModelConfig(cell, 2, 17, 9)
    original = continuation(config)
    token = state_token.sign(original, seed, DIGEST, b"secret")
    read, read_seed = state_token.read(token, b"secret", config, DIGEST)
    assert (read.pending, read.position, read_seed) == (3, 41, seed)
    assert all((a == b).all() for a, b in zip(read.arrays, original.arrays, strict=True))
    assert all(array.dtype == np.float32 for array in read.arrays)
    wide = Continuation(tuple(array.astype(np.float64) for array in original.arrays), 3, 41)
    assert state_token.sign(wide, seed, DIGEST, b"secret") == token, "float32, whatever it was"


def test_a_token_of_a_text_of_which_nothing_was_read_says_so() -> None:
    config = ModelConfig("lstm", 1, 4, 9)
    nothing = Continuation(tuple(np.zeros(4, np.float32) for _ in config.state_names), None, 0)
    read, seed = state_token.read(state_token.sign(nothing, 5, DIGEST, b"secret"), b"secret", config, DIGEST)
    assert (read.pending, read.position, seed) == (None, 0, 5)


@pytest.mark.parametrize("hidden_dim", [1, 2, 3])
def test_every_token_is_read_whatever_letters_it_ends_with(hidden_dim: int) -> None:
    config = ModelConfig("rnn", 1, hidden_dim, 9)
    for seed in range(600):
        token = state_token.sign(continuation(config), seed, DIGEST, seed.to_bytes(2, "big"))
        assert state_token.read(token, seed.to_bytes(2, "big"), config, DIGEST)[1] == seed


@pytest.mark.parametrize("hidden_dim", [1, 2, 3])
def test_one_letter_alone_can_be_the_last(hidden_dim: int) -> None:
    """Two or four of its bits say nothing where the bytes are no multiple of three."""
    config = ModelConfig("rnn", 1, hidden_dim, 9)
    token = state_token.sign(continuation(config), 1, DIGEST, b"secret")
    for letter in set(ascii_letters + digits + "-_") - {token[-1]}:
        with pytest.raises(OptionError, match="not a token"):
            state_token.read(token[:-1] + letter, b"secret", config, DIGEST)


def test_every_changed_letter_is_noticed() -> None:
    config = ModelConfig("rnn", 1, 3, 9)
    token = state_token.sign(continuation(config), 1, DIGEST, b"secret")
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(OptionError, match="not a token that this server gave"):
            state_token.read(changed, b"secret", config, DIGEST)


@pytest.mark.parametrize("token", ["", "A", "é", "A" * 10_000, "=" * 40, "a b"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(OptionError, match="not a token"):
        state_token.read(token, b"secret", ModelConfig("rnn", 1, 3, 9), DIGEST)


def test_another_secret_and_other_weights_are_told_apart() -> None:
    config = ModelConfig("rnn", 1, 3, 9)
    token = state_token.sign(continuation(config), 1, DIGEST, b"secret")
    with pytest.raises(OptionError, match="not a token") as refused:
        state_token.read(token, b"other", config, DIGEST)
    assert not isinstance(refused.value, state_token.OtherWeightsError)
    assert refused.value.field == "state"
    with pytest.raises(state_token.OtherWeightsError) as other:
        state_token.read(token, b"secret", config, "cd" * 32)
    assert other.value.field == "state"
    assert "belongs to other weights than this model has now" in str(other.value)


def test_a_token_can_stand_in_a_query_as_it_is() -> None:
    tokens = [state_token.sign(continuation(ModelConfig("rnn", 1, 3, 9)), seed, DIGEST, b"s") for seed in range(40)]
    assert set("".join(tokens)) == set(ascii_letters + digits + "-_")


# Tokens as the service gives them.


def post(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/generate", json={"return_state": True, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@given(data=st.data(), sampled=st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_written_in_any_pieces_is_that_of_one_request(
    client: TestClient, data: st.DataObject, sampled: bool
) -> None:
    """A piece ends at its length or at a stop string, which may also begin at once."""
    sampling = {"temperature": 1.0} if sampled else {}
    whole = post(client, prefix="分开", num_chars=40, **sampling, **({"seed": 6} if sampled else {}))["generated"]
    asked: dict[str, Any] = {"prefix": "分开", **sampling, **({"seed": 6} if sampled else {})}
    at = 0
    for _ in range(data.draw(st.integers(1, 5), "pieces")):
        length = data.draw(st.integers(0, 39 - at), "length")
        if data.draw(st.booleans(), "stop"):
            stop = whole[at + length : at + length + data.draw(st.integers(1, 3), "stop's length")]
            asked |= {"stop": [stop], "num_chars": 40 - at}
            expected = whole[at:].partition(stop)[0]
        else:
            asked |= {"stop": [], "num_chars": max(length, 1)}
            expected = whole[at : at + max(length, 1)]
        body = post(client, **asked)
        assert body["generated"] == expected
        at += len(expected)
        asked = {"state": body["state"], **sampling}
        if at == 40:
            return
    assert post(client, **asked, num_chars=40 - at)["generated"] == whole[at:]


def test_each_of_several_continuations_has_a_token_of_its_own(client: TestClient) -> None:
    asked = {"prefix": "分开", "temperature": 1.0, "seed": 6, "n": 4}
    whole = [choice["generated"] for choice in post(client, **asked, num_chars=60)["choices"]]
    stop = whole[2][:2]  # one of them ends at once
    for choice, text in zip(post(client, **asked, num_chars=30, stop=[stop])["choices"], whole, strict=True):
        assert choice["generated"] == text[:30].partition(stop)[0]
        rest = post(client, state=choice["state"], temperature=1.0, num_chars=60 - len(choice["generated"]))
        assert choice["generated"] + rest["generated"] == text
        assert rest["seed"] == choice["seed"]


@pytest.mark.parametrize("name", ["tiny", "other"])
@pytest.mark.parametrize("length", [0, 1, 7])
def test_the_state_in_a_token_is_the_books_in_float64(
    client: TestClient, models_dir: Path, name: str, length: int
) -> None:
    """At a stop string `length` characters behind the prefix, and as far behind the token of that place again."""
    checkpoint = checkpoints.load(models_dir / name)
    parameters = {key: array.astype(np.float64) for key, array in checkpoint.parameters.items()}
    whole = post(client, prefix="战争", num_chars=40, temperature=1.0, seed=8, model=name)["generated"]
    asked: dict[str, Any] = {"prefix": "战争", "seed": 8}
    text, sampling = "战争", {"temperature": 1.0, "model": name, "num_chars": 20}
    for _ in range(2):
        at = len(text) - 2
        stop = whole[at + length : at + length + 3]
        body = post(client, **asked, **sampling, stop=[stop])
        assert body["generated"] == whole[at : at + length]
        text += body["generated"]
        read, seed = state_token.read(body["state"], SECRET.encode(), checkpoint.config, checkpoint.digest)
        assert (seed, read.position) == (8, len(text) - 2)
        assert read.pending is not None
        assert checkpoint.vocabulary.characters[read.pending] == text[-1]
        _, state = book_forward(checkpoint.config, parameters, checkpoint.vocabulary.encode(text[:-1])[None])
        _, behind = book_forward(checkpoint.config, parameters, checkpoint.vocabulary.encode(text)[None])
        for own, expected, wrong in zip(read.arrays, state, behind, strict=True):
            np.testing.assert_allclose(own, expected[0], atol=1e-3)
            assert np.abs(own - wrong[0]).max() > 0.05
        asked = {"state": body["state"]}


def test_a_seed_beside_a_token_takes_the_place_of_its_own_from_there_on(client: TestClient, models_dir: Path) -> None:
    checkpoint = checkpoints.load(models_dir / "tiny")
    parameters = {key: array.astype(np.float64) for key, array in checkpoint.parameters.items()}
    first = post(client, prefix="分开", temperature=1.0, seed=6, num_chars=10)
    body = post(client, state=first["state"], temperature=1.0, seed=7, num_chars=10)
    indices = checkpoint.vocabulary.encode("分开" + first["generated"]).tolist()
    for position in range(10, 20):
        logits, _ = book_forward(checkpoint.config, parameters, np.array([indices], np.int32))
        last = logits[-1, 0].astype(np.float32)
        indices.append(choose_reference(last, 1.0, len(last), 1.0, uniform(7, position)))
    assert body["generated"] == checkpoint.vocabulary.decode(indices[-10:])
    _, seed = state_token.read(body["state"], SECRET.encode(), checkpoint.config, checkpoint.digest)
    assert seed == body["seed"] == 7
    own = post(client, state=first["state"], temperature=1.0, num_chars=10)
    assert own["generated"] != body["generated"]
    assert own["seed"] == 6


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", ["tiny", "other"])
def test_forty_and_sixty_characters_are_the_hundred_of_one_request(
    client: TestClient, models_dir: Path, temperature: float, name: str
) -> None:
    fields: dict[str, Any] = {"temperature": temperature, "model": name}
    if temperature:
        fields["seed"] = 9
    whole = answer_of(client, prefix="分开", num_chars=100, **fields)["generated"]
    first = answer_of(client, prefix="分开", num_chars=40, return_state=True, **fields)
    rest: dict[str, Any] = {"temperature": temperature, "model": name, "state": first["state"]}
    assert first["generated"] + answer_of(client, num_chars=60, **rest)["generated"] == whole
    with client_of(models_dir) as another:  # same secret, other process in spirit: nothing is shared but the token
        assert first["generated"] + answer_of(another, num_chars=60, **rest)["generated"] == whole


def test_a_text_cut_by_a_stop_string_goes_on_where_it_was_cut(client: TestClient) -> None:
    fields: dict[str, Any] = {"temperature": 1.0, "seed": 5}
    whole = answer_of(client, prefix="分开", num_chars=60, **fields)["generated"]
    stop = whole[20:22]
    cut = answer_of(client, prefix="分开", num_chars=60, stop=[stop], return_state=True, **fields)
    rest = answer_of(client, state=cut["state"], num_chars=60 - len(cut["generated"]), temperature=1.0)
    assert cut["generated"] + rest["generated"] == whole


def test_a_token_that_was_changed_is_422_and_one_of_other_weights_409(client: TestClient, models_dir: Path) -> None:
    token = answer_of(client, prefix="分开", num_chars=5, return_state=True)["state"]
    for at in (0, len(token) // 2, len(token) - 1):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert "state: is not a token" in answer_of(client, 422, state=changed)["detail"]
    assert "state: belongs to other weights" in answer_of(client, 409, state=token, model="other")["detail"]
    with client_of(models_dir, secret="another secret altogether") as another:
        answer_of(another, 422, state=token)


def test_prefix_and_state_exclude_each_other_and_one_must_be_there(client: TestClient) -> None:
    assert "not both" in answer_of(client, 422, prefix="a", state="x")["detail"]
    assert "prefix: is missing" in answer_of(client, 422)["detail"]
