"""Health, metrics, request ids, body limit and logs, seen from a client in the same process."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from tests.app.conftest import client_of, service_behind


def metric(client: TestClient, line_start: str) -> float:
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(line_start):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {line_start}")


def test_the_process_lives_and_is_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    devices = {"other": "cpu", "tiny": "cpu"}
    expected = {"status": "ready", "models": ["other", "tiny"], "devices": devices, "problems": {}}
    assert client.get("/readyz").json() == expected


def test_a_decode_thread_that_hangs_makes_the_model_not_ready(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(models_dir, stall_s=0.05) as client:
        served = service_behind(client).registry.get("tiny")
        release, real = threading.Event(), served.lm.engine.advance

        def hang(*arguments: Any) -> Any:
            release.wait(20)
            return real(*arguments)

        monkeypatch.setattr(served.lm.engine, "advance", hang)
        thread = threading.Thread(target=client.get, args=("/generate",), kwargs={"params": {"prefix": "a"}})
        thread.start()
        while client.get("/readyz").status_code == 200:
            pass
        assert "in one step" in client.get("/readyz").json()["problems"]["tiny"]
        release.set()
        thread.join()
        while client.get("/readyz").status_code != 200:
            pass


def test_a_step_that_fails_is_a_500_that_says_so_and_the_model_goes_on(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(models_dir) as client:
        engine = service_behind(client).registry.get("tiny").lm.engine

        def fail(*_: object) -> None:
            raise RuntimeError("the weights caught fire")

        monkeypatch.setattr(engine, "advance", fail)
        response = client.get("/generate", params={"prefix": "a"})
        assert response.status_code == 500
        assert response.headers["content-type"] == "application/problem+json"
        assert "failed while it was writing" in response.json()["detail"]
        assert "fire" not in response.text
        assert metric(client, 'nextchar_step_failures_total{model="tiny"}') == 1
        monkeypatch.undo()
        assert client.get("/generate", params={"prefix": "a"}).status_code == 200


def test_figures_grow_with_what_was_read_and_written(client: TestClient) -> None:
    names = ["nextchar_prompt_chars_total", "nextchar_generation_chars_total"]
    before = [metric(client, f'{name}{{model="tiny"}}') for name in names]
    route = 'nextchar_request_count_total{method="GET",route="/generate",status="200"}'
    client.get("/generate", params={"prefix": "abc", "num_chars": 17})
    counted = metric(client, route)
    client.get("/generate", params={"prefix": "abc", "num_chars": 17})
    after = [metric(client, f'{name}{{model="tiny"}}') for name in names]
    assert [a - b for a, b in zip(after, before, strict=True)] == [6, 34]
    assert metric(client, route) == counted + 1
    assert metric(client, 'nextchar_prefix_cache_hits_total{model="tiny"}') >= 1
    assert metric(client, 'nextchar_time_to_first_char_seconds_count{model="tiny"}') >= 2
    assert metric(client, 'nextchar_num_requests_running{model="tiny"}') == 0


def test_unknown_paths_share_one_series(client: TestClient) -> None:
    for path in ("/a", "/b", "/c"):
        assert client.get(path).status_code == 404
    text = client.get("/metrics").text
    assert 'route="/a"' not in text
    assert 'route="none"' in text


@pytest.mark.parametrize("given", ["abc-123", "A.b:c_d"])
def test_a_request_id_is_kept(client: TestClient, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "two words", "a" * 200, "<script>"])
def test_a_request_id_that_could_do_harm_is_replaced(client: TestClient, given: str) -> None:
    returned = client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", returned)


@pytest.fixture(scope="module")
def narrow(models_dir: Path) -> Iterator[TestClient]:
    with client_of(models_dir, max_body_bytes=2000) as client:
        yield client


def test_a_body_over_the_limit_is_413_whether_it_says_so_or_not(narrow: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    declared = narrow.post("/generate", content=b'{"prefix": "%s"}' % (b"a" * 2000), headers=headers)
    chunked = narrow.post("/generate", content=(b"a" * 100 for _ in range(100)), headers=headers)
    for response in (declared, chunked):
        assert response.status_code == 413, response.text
        assert "larger than 2000 bytes" in response.json()["detail"]
    just = narrow.post("/generate", content=b'{"prefix": "a"%s}' % (b" " * 1985), headers=headers)
    assert just.status_code == 200


def test_a_failed_request_under_v1_has_openais_shape(narrow: TestClient) -> None:
    body = narrow.post("/v1/completions", content=b"a" * 3000).json()
    assert body["error"]["type"] == "invalid_request_error"


def test_head_works_on_whatever_get_gives_with_the_same_headers_and_no_body(client: TestClient) -> None:
    paths = [path for path, methods in client.get("/openapi.json").json()["paths"].items() if "get" in methods]
    for path in [*paths, "/", "/web/main.js", "/docs", "/openapi.json", "/nothing/here"]:
        path = path.replace("{name}", "tiny")
        params = {"prefix": "a"} if path == "/generate" else {}
        get, head = client.get(path, params=params), client.head(path, params=params)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        if path not in ("/metrics", "/generate"):  # the figures change, and the text's length is not known before it
            assert head.headers["content-length"] == get.headers["content-length"], path
        assert head.headers["content-type"] == get.headers["content-type"], path


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/generate", "GET, HEAD, POST, OPTIONS"),
        ("/score", "POST, OPTIONS"),
        ("/models/tiny", "GET, HEAD, OPTIONS"),
        ("/v1/completions", "POST, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_405_names_all_methods_of_the_path(client: TestClient, path: str, allowed: str) -> None:
    for method in ("DELETE", "BREW"):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert allowed in (answer.json().get("error") or {"message": answer.json().get("detail")})["message"]


def test_every_answer_made_for_a_request_is_for_its_asker_alone(models_dir: Path) -> None:
    key = {"X-API-Key": "the-only-key-there-is"}
    with client_of(models_dir, api_keys=key["X-API-Key"], max_body_bytes=2000) as client:
        answers = [
            client.get(path, headers=key)
            for path in (
                "/generate?prefix=a",
                "/models",
                "/v1/models",
                "/metrics",
                "/healthz",
                "/readyz",
                "/no",
                "/openapi.json",
            )
        ]
        answers += [
            client.get("/models"),
            client.get("/generate?prefix=本", headers=key),
            client.head("/readyz"),
            client.delete("/models", headers=key),
            client.post("/score", json={"text": "ab"}, headers=key),
            client.post("/score", content=b"a" * 3000, headers={**key, "Content-Type": "application/json"}),
            client.post("/generate", json={"prefix": "a", "stream": True}, headers=key),
            client.get("/models", headers={**key, "Origin": "https://evil.example"}),
            client.options("/models"),
        ]
        assert {answer.status_code for answer in answers} == {200, 204, 401, 403, 404, 405, 413, 422}
        assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
        for path in ("/problems", "/problems/not-found", "/web/plain.css"):  # open to everybody
            assert client.get(path).headers["cache-control"] == "private, no-cache"
        for path in ("/", "/docs", "/web/main.js"):
            assert client.get(path, headers=key).headers["cache-control"] == "private, no-cache"
            assert client.get(path).headers["cache-control"] == "no-store"  # 401


def test_a_key_variable_that_is_empty_is_told_at_start(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTCHAR_API_KEYS", "")
    with capture_logs() as lines, client_of(models_dir) as client:
        assert client.get("/models").status_code == 200
    [line] = [line for line in lines if line["log_level"] == "warning"]
    assert line["event"].startswith("NEXTCHAR_API_KEYS is set but empty")
