"""From fields to what the scheduler takes, and from its results to bodies, over small models with random weights."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model import checkpoint as checkpoints
from model.corpus import TextRules
from tests.app.conftest import client_of
from tests.conftest import LETTERS, random_checkpoint


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
