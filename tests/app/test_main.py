from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.main import create_app
from app.native.fields import GenerateBody, ScoreBody
from app.openai.fields import CompletionBody
from app.settings import Settings
from app.wire.openapi import Problem
from tests.app.conftest import SECRET, client_of, metrics_of, settings

FRIEND = "https://friend.example"
KEY = "the-only-key-there-is"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a model, so that an app is there at once."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def guarded(empty: Path) -> Iterator[TestClient]:
    fields = {"cors_origins": FRIEND, "api_keys": KEY, "rate_limit": "40/hour", "max_body_bytes": 1024}
    with client_of(empty, default_model=None, allowed_hosts="ours.example,testserver", **fields) as client:
        yield client


def test_the_document_describes_the_service(empty: Path) -> None:
    with client_of(empty) as client:
        document = client.get("/openapi.json").json()
        assert (document["info"]["title"], document["info"]["version"]) == ("Nextchar", version("nextchar"))
        assert "your own text" in document["info"]["summary"]
        assert client.get("/docs").status_code == 200
        assert [client.get(path).status_code for path in ("/redoc", "/docs/oauth2-redirect")] == [404, 404]
        assert set(document["paths"]) == {
            "/generate", "/score", "/models", "/models/{name}", "/v1/models", "/v1/models/{name}", "/v1/completions",
            "/healthz", "/readyz", "/metrics",
        }  # fmt: skip
        assert not [path for path, methods in document["paths"].items() if "head" in methods]


def test_every_schema_that_is_referred_to_is_in_the_document(empty: Path) -> None:
    app = create_app(settings(empty))
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for named in (Problem, GenerateBody, ScoreBody, CompletionBody):
        written = schemas[named.__name__]
        assert set(written["properties"]) == set(named.model_fields)
        assert "$defs" not in written
    referred: set[str] = set()

    def look(part: object) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                referred.add(part["$ref"])
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(document)
    assert referred <= {f"#/components/schemas/{name}" for name in schemas}
    assert "#/components/schemas/FieldError" in referred  # of a problem's own
    assert app.openapi() == document


def test_whoever_may_call_from_elsewhere_may_send_and_read_what_a_page_needs(guarded: TestClient) -> None:
    preflight = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    for method in ("GET", "HEAD", "POST"):
        asked = guarded.options("/generate", headers={**preflight, "Access-Control-Request-Method": method})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, FRIEND)
    assert (
        guarded.options("/generate", headers={**preflight, "Access-Control-Request-Method": "PUT"}).status_code == 400
    )
    for header in ("Authorization", "Content-Type", "Last-Event-ID", "X-API-Key", "X-Request-ID"):
        asked = guarded.options("/generate", headers={**preflight, "Access-Control-Request-Headers": header})
        assert asked.status_code == 200, header
    answer = guarded.get("/healthz", headers={"Origin": FRIEND})
    assert answer.headers["access-control-allow-origin"] == FRIEND
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed == {"retry-after", "x-request-id"}
    assert "access-control-allow-origin" not in guarded.get("/healthz", headers={"Origin": "https://x.example"}).headers


def test_keys_limits_names_and_kinds_are_those_of_the_settings(guarded: TestClient) -> None:
    key = {"X-API-Key": KEY}
    assert guarded.get("/models").status_code == 401
    assert guarded.get("/models", headers=key).status_code == 200
    assert guarded.get("/models", headers={**key, "Host": "other.example"}).status_code == 421
    assert guarded.get("/models", headers={**key, "Host": "ours.example"}).status_code == 200
    json_type = {**key, "Content-Type": "application/json"}
    assert guarded.post("/score", content=b" " * 1025, headers=json_type).status_code == 413
    for path, forms in (("/generate", True), ("/score", True), ("/v1/completions", False)):
        assert guarded.post(path, content=b"{}", headers={**key, "Content-Type": "text/plain"}).status_code == 415
        assert guarded.post(path, content=b"{}", headers=json_type).status_code not in (401, 415)
        form = {**key, "Content-Type": "application/x-www-form-urlencoded"}
        assert (guarded.post(path, content=b"a=b", headers=form).status_code == 415) is not forms
    many = [guarded.get("/models", headers=key).status_code for _ in range(41)]
    assert many[-1] == 429
    metrics = metrics_of(guarded.app)
    labels = {"route": "/models", "method": "GET", "status": "200"}
    count = metrics.registry.get_sample_value("nextchar_request_count_total", labels)
    assert count is not None
    assert count >= 2


def test_a_secret_is_the_settings_own_or_drawn_for_each_app(empty: Path) -> None:
    def secret(fields: Settings) -> bytes:
        value: bytes = create_app(fields).state.service.secret.get_secret_value()
        return value

    assert secret(settings(empty)) == SECRET.encode()
    drawn = [secret(settings(empty, secret=None)) for _ in range(2)]
    assert drawn[0] != drawn[1]
    assert [len(value) for value in drawn] == [32, 32]


@pytest.mark.parametrize("secret", [None, SECRET])
def test_what_will_not_outlive_the_process_is_told_once_at_start(empty: Path, secret: str | None) -> None:
    with capture_logs() as lines, client_of(empty, secret=secret):
        pass
    told = [line for line in lines if "NEXTCHAR_SECRET" in line["event"]]
    assert [line["log_level"] for line in told] == ([] if secret else ["info"])


def test_the_watch_begins_and_ends_with_the_app_which_is_then_stopping(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings(empty))
    service, seen = app.state.service, list[tuple[str, bool]]()
    starts, stops = service.watch.start, service.watch.stop

    async def start() -> None:
        seen.append(("start", service.draining))
        await starts()

    async def stop() -> None:
        seen.append(("stop", service.draining))
        await stops()

    monkeypatch.setattr(service.watch, "start", start)
    monkeypatch.setattr(service.watch, "stop", stop)
    with TestClient(app) as client:
        assert client.get("/healthz").status_code == 200
        assert service.draining is False
    assert seen == [("start", False), ("stop", True)]


def test_the_default_model_is_the_settings_and_figures_are_the_apps_own(models_dir: Path) -> None:
    with client_of(models_dir, default_model="other") as client:
        assert client.get("/generate?prefix=a&num_chars=1").json()["model"] == "other"
        figures = client.get("/metrics").text
        assert 'nextchar_generation_chars_total{model="other"} 1.0' in figures


def test_head_is_on_whatever_get_gives(empty: Path) -> None:
    with client_of(empty) as client:
        for path in ("/models", "/v1/models", "/healthz", "/metrics", "/models/none", "/"):
            got, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
        for path in ("/score", "/v1/completions"):
            assert client.head(path).status_code == 405
