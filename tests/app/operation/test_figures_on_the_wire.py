"""`/metrics` of a real server: its formats, and how much of it there is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as from_openmetrics
from prometheus_client.parser import text_string_to_metric_families as from_text

from model import checkpoint as checkpoints
from tests.app.conftest import Server, eventually
from tests.models import random_checkpoint

OPENMETRICS = "application/openmetrics-text"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("tiny", "second", "third"):
        checkpoints.save(folder / name, random_checkpoint("rnn", 1, 16, scale=4.0))
    return folder


@pytest.fixture(scope="module")
def http(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        Server(tmp_path_factory.mktemp("figures"), folder, NEXTCHAR_RELOAD_S="0.05") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


def test_the_figures_of_a_model_go_when_it_is_gone_and_begin_anew_when_it_comes_back(
    http: httpx.Client, folder: Path
) -> None:
    def figures() -> str:
        return http.get("/metrics").text

    def writes(name: str) -> bool:
        answer = http.get("/generate", params={"prefix": "a", "num_chars": 7, "model": name})
        return answer.status_code == 200

    for name in ("tiny", "second", "third"):
        assert writes(name)
    assert all(f'model="{name}"' in figures() for name in ("tiny", "second", "third"))
    for name in ("second", "third"):
        shutil.rmtree(folder / name)
    eventually(lambda: not {'model="second"', 'model="third"'} & set(re.findall(r'model="\w+"', figures())))
    assert 'nextchar_generation_chars_total{model="tiny"} 7.0' in figures()
    checkpoints.save(folder / "second", random_checkpoint("rnn", 1, 16, scale=4.0))
    eventually(lambda: writes("second"))
    assert 'nextchar_generation_chars_total{model="second"} 7.0' in figures()
    assert 'model="third"' not in figures()


def test_nothing_that_a_client_sends_becomes_a_series(http: httpx.Client) -> None:
    def ask(word: str) -> None:
        http.request(word.upper(), "/generate")
        http.request("OPTIONS", f"/{word}")
        http.get(f"/{word}")
        http.get(f"/models/{word}/")
        http.get(f"/v1/models/{word}", headers={"X-API-Key": word, "X-Request-ID": word, "X-Forwarded-For": word})
        http.get("/generate", params={"prefix": word, "model": word})
        http.post("/v1/completions", json={"model": word, "prompt": word, word: word})

    ask("first")
    names = {line.rpartition(" ")[0] for line in http.get("/metrics").text.splitlines()}
    ask("another")
    again = {line.rpartition(" ")[0] for line in http.get("/metrics").text.splitlines()}
    assert again - names <= {line for line in again if 'route="/metrics"' in line}
    assert "another" not in http.get("/metrics").text


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "a/b"])
def test_the_figures_come_as_prometheus_text(http: httpx.Client, accept: str | None) -> None:
    answer = http.get("/metrics", headers={} if accept is None else {"Accept": accept})
    assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    samples = [sample.name for family in from_text(answer.text) for sample in family.samples]
    assert "nextchar_request_count_total" in samples
    assert not [name for name in samples if name.endswith("_created")]


@pytest.mark.parametrize("accept", [OPENMETRICS, f"{OPENMETRICS};version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"])
def test_the_figures_come_as_openmetrics_where_that_is_asked_for(http: httpx.Client, accept: str) -> None:
    answer = http.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    families = from_openmetrics(answer.text)  # type: ignore[no-untyped-call]
    samples = [sample.name for family in families for sample in family.samples]
    assert "nextchar_request_count_total" in samples
    assert not [name for name in samples if name.endswith("_created")]
