from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route

from app.main import create_app
from app.middleware.guard import CALLER, OPEN_PATHS, Guard, is_open
from tests.app.asgi import Inside, ask, passes_what_is_not_http, scope_of
from tests.app.conftest import SECRET, client_of, settings

KEY = "the-only-key-there-is"


def guard(inside: Any, *keys: str, rate: str = "") -> Guard:
    return Guard(inside, [SecretStr(key) for key in keys], rate)


def test_what_is_not_http_needs_no_key() -> None:
    passes_what_is_not_http(lambda inside: guard(inside, KEY))


def test_without_a_key_nothing_gets_inside_and_the_answer_says_what_to_send() -> None:
    inside = Inside()
    refused = ask(guard(inside, KEY), scope_of())
    assert (refused.status, inside.calls) == (401, [])
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer KEY" in json.loads(refused.body)["detail"]
    assert "X-API-Key: KEY" in json.loads(refused.body)["detail"]
    theirs = json.loads(ask(guard(inside, KEY), scope_of(path="/v1/models")).body)["error"]
    assert (theirs["type"], theirs["code"]) == ("authentication_error", "invalid_api_key")
    for path in ("/", "/docs", "/openapi.json", "/web/docs.js"):  # by Basic alone a browser asks for a key
        page = ask(guard(inside, KEY), scope_of(path=path))
        scheme, _, about = page.headers["www-authenticate"].partition(" ")
        assert (page.status, scheme) == (401, "Basic")
        assert about.startswith('realm="')
        assert about.endswith('", charset="UTF-8"')


@pytest.mark.parametrize("path", ["/healthz/x", "/problem", "/problemsx", "/web/main.js", "/web/style.css", "/docs"])
def test_what_only_looks_open_is_not(path: str) -> None:
    assert ask(guard(Inside(), KEY), scope_of(path=path)).status == 401


@pytest.mark.parametrize("path", [*sorted(OPEN_PATHS), "/problems/not-found"])
def test_probes_and_pages_about_problems_pass_without_a_key_and_are_not_counted(path: str) -> None:
    inside = Inside()
    guarded = guard(inside, KEY, rate="1/hour")
    assert [ask(guarded, scope_of(path=path)).status for _ in range(3)] == [200] * 3
    assert inside.calls[0][0][CALLER] == "10.0.0.1"


def test_a_preflight_and_a_probe_carry_no_key_and_are_not_counted() -> None:
    guarded = guard(Inside(), KEY, rate="2/hour")
    assert [ask(guarded, scope_of("OPTIONS")).status for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        (KEY, {"X_API_Key": KEY}),
        (KEY, {"Authorization": f"BEARER   {KEY}\t "}),
        ("two words and more", {"Authorization": "Bearer two words and more"}),
        ("colons:in:the:key", {"Authorization": "basic " + base64.b64encode(b"me:colons:in:the:key").decode()}),
        ("no-base64-at-all!", {"Authorization": "Basic no-base64-at-all!"}),
        ("abcd!efgh!ijkl!mnop", {"Authorization": "Basic abcd!efgh!ijkl!mnop"}),  # not even without its marks
    ],
)
def test_a_key_is_found_wherever_it_may_stand(key: str, headers: dict[str, Any]) -> None:
    inside = Inside()
    assert ask(guard(inside, "another-key-of-ours", key), scope_of(**headers)).status == 200
    assert inside.calls[0][0][CALLER] == hashlib.sha256(key.encode()).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Digest {KEY}"},
        {"Authorization": KEY},
        {"Authorization": "Basic " + base64.b64encode(KEY.encode()).decode()},  # a name without a password
        {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()},
        {"X_API_Key": f" {KEY}."},
        {"X_API_Key": KEY.upper()},
    ],
)
def test_a_key_anywhere_else_is_none(headers: dict[str, Any]) -> None:
    assert ask(guard(Inside(), KEY), scope_of(**headers)).status == 401


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time by hand, for the limiter too."""
    now = [1_000_000.25]
    with monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: now[0])
        yield now


def test_a_rate_is_each_callers_own_and_says_when_to_come_back(clock: list[float]) -> None:
    guarded = guard(Inside(), KEY, "another-key-of-ours", rate="2/hour")
    statuses = [ask(guarded, scope_of(X_API_Key=key)).status for key in [KEY] * 3 + ["another-key-of-ours"] * 3]
    assert statuses == [200, 200, 429] * 2
    clock[0] += 600.5
    refused = ask(guarded, scope_of(X_API_Key=KEY, client=("10.9.9.9", 1)))  # by the key, wherever it is used
    assert (refused.status, refused.headers["retry-after"]) == (429, "3000")  # 2,999.5 s, but never too early
    detail = json.loads(refused.body)["detail"]
    assert "2 per 1 hour" in detail
    assert "3000 s" in detail
    clock[0] += 2999.5
    assert ask(guarded, scope_of(X_API_Key=KEY)).status == 200


def test_without_keys_a_rate_is_each_addresss_and_the_pages_files_do_not_count(clock: list[float]) -> None:
    guarded = guard(Inside(), rate="1/minute")
    assert [ask(guarded, scope_of(path="/web/main.js")).status for _ in range(3)] == [200] * 3
    assert [ask(guarded, scope_of(client=("10.0.0.1", port))).status for port in (1, 2)] == [200, 429]
    assert [ask(guarded, scope_of(client=("10.0.0.2", 1))).status for _ in range(2)] == [200, 429]
    nameless = Inside()
    assert ask(guard(nameless), scope_of(client=None)).status == 200
    assert nameless.calls[0][0][CALLER] == "unknown"
    clock[0] += 59.75
    assert ask(guarded, scope_of()).headers["retry-after"] == "1"


def test_ten_wrong_keys_close_an_address_for_a_minute_to_right_ones_too(clock: list[float]) -> None:
    inside = Inside()
    guarded = guard(inside, KEY)
    assert {ask(guarded, scope_of()).status for _ in range(20)} == {401}  # no key is no guess
    assert {ask(guarded, scope_of(X_API_Key=f"guess-{n}")).status for n in range(9)} == {401}
    assert ask(guarded, scope_of(X_API_Key=KEY)).status == 200  # and a right one is none either
    assert ask(guarded, scope_of(X_API_Key="guess-10")).status == 401
    refused = ask(guarded, scope_of(X_API_Key=KEY))
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    assert "wrong keys" in json.loads(refused.body)["detail"]
    assert ask(guarded, scope_of(X_API_Key=KEY, client=("10.0.0.2", 1))).status == 200
    clock[0] += 60
    assert ask(guarded, scope_of(X_API_Key=KEY)).status == 200
    both: dict[str, Any] = {"X_API_Key": "guess", "Authorization": "Bearer guess"}
    assert [ask(guarded, scope_of(**both)).status for _ in range(6)] == [401] * 5 + [429]


@pytest.fixture(scope="module")
def guarded(models_dir: Path) -> Iterator[TestClient]:
    with client_of(models_dir, api_keys="the-first-of-the-keys,the-second-of-the-keys") as client:
        yield client


def paths_of(routes: list[BaseRoute]) -> set[str]:
    paths: set[str] = set()
    for route in routes:
        path = getattr(route, "path", "")
        if isinstance(route, Mount):
            paths |= {path + inner for inner in paths_of(list(route.routes or []))} | {path + "/x"}
        elif isinstance(route, Route) or path:
            paths.add(path)
    return paths


def test_every_route_but_the_probes_needs_a_key(guarded: TestClient) -> None:
    app: Any = guarded.app
    schema_paths = set(app.openapi()["paths"])
    paths = paths_of(app.routes) | schema_paths | {"/docs", "/openapi.json", "/", "/nothing/here"}
    assert {"/generate", "/score", "/models", "/v1/completions", "/metrics", "/healthz"} <= paths
    for path in paths:
        for method in ("GET", "POST"):
            status = guarded.request(method, path.replace("{name}", "tiny").replace("{file}", "x")).status_code
            assert (status != 401) if is_open(path) else (status == 401), (method, path, status)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Authorization": "Bearer the-first-of-the-keys"}, True),
        ({"Authorization": "bearer the-second-of-the-keys"}, True),
        ({"X-API-Key": "the-second-of-the-keys"}, True),
        ({"Authorization": "Basic " + base64.b64encode(b"me:the-first-of-the-keys").decode()}, True),
        ({"Authorization": "Basic " + base64.b64encode(b"me:other").decode()}, False),
        ({"Authorization": "Basic !!!"}, False),
        ({"Authorization": "Bearer the-first-of-the-key"}, False),
        ({"Authorization": "Bearer "}, False),
        ({"Authorization": "the-first-of-the-keys"}, False),
        ({"X-API-Key": "the-first-of-the-keys,the-second-of-the-keys"}, False),
    ],
)
def test_a_key_is_taken_whole_or_not_at_all(guarded: TestClient, headers: dict[str, str], allowed: bool) -> None:
    response = guarded.get("/models", headers=headers)
    assert response.status_code == (200 if allowed else 401)
    if not allowed:
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/"])
def test_a_browser_that_opens_a_page_is_asked_for_the_key(guarded: TestClient, path: str) -> None:
    assert guarded.get(path).headers["www-authenticate"].startswith("Basic")


def test_without_keys_everybody_is_served(client: TestClient) -> None:
    assert client.get("/models").status_code == 200


def test_a_key_that_asks_too_often_is_429_and_another_is_not(models_dir: Path) -> None:
    with client_of(models_dir, api_keys="a-key-of-16-chars,b-key-of-16-chars", rate_limit="3/hour") as client:
        statuses = [client.get("/models", headers={"X-API-Key": "a-key-of-16-chars"}).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert client.get("/models", headers={"X-API-Key": "b-key-of-16-chars"}).status_code == 200
        limited = client.get("/models", headers={"X-API-Key": "a-key-of-16-chars"})
        assert 1 <= int(limited.headers["retry-after"]) <= 3600
        assert client.get("/readyz").status_code == 200
        assert client.get("/web/main.js", headers={"X-API-Key": "a-key-of-16-chars"}).status_code == 200


def test_other_origins_are_allowed_only_when_named(client: TestClient, models_dir: Path) -> None:
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.get("/models", headers=preflight).headers
    with client_of(models_dir, cors_origins="https://a.example", api_keys="a-key-of-16-chars") as other:
        answer = other.options("/generate", headers=preflight)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        stranger = other.options("/generate", headers={**preflight, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers


def status(client: TestClient, key: str | bytes = "", **headers: str) -> int:
    given: dict[str, Any] = {"X-API-Key": key, **headers} if key else headers
    return client.get("/models", headers=given).status_code


def test_after_ten_wrong_keys_an_address_learns_nothing_more_for_a_while(models_dir: Path) -> None:
    key = "the-only-key-there-is"
    with client_of(models_dir, api_keys=key) as client:
        guesses = [status(client, f"guess-number-{number}") for number in range(50)]
        assert guesses == [401] * 10 + [429] * 40
        # A right key is not looked at either: its 200 among the 429s would be what the guesser waits for.
        refused = client.get("/models", headers={"X-API-Key": key})
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert status(TestClient(client.app, client=("10.0.0.2", 1)), key) == 200


def test_a_request_without_a_key_is_no_guess(models_dir: Path) -> None:
    with client_of(models_dir, api_keys="the-only-key-there-is") as client:
        assert {status(client) for _ in range(30)} == {401}
        assert status(client, "the-only-key-there-is") == 200


def test_two_keys_in_one_request_are_two_guesses(models_dir: Path) -> None:
    with client_of(models_dir, api_keys="the-only-key-there-is") as client:
        guesses = [status(client, f"guess-{n}", Authorization=f"Bearer other-{n}") for n in range(10)]
        assert guesses == [401] * 5 + [429] * 5


@pytest.mark.parametrize("other", ["Bearer the-proxys-own", "Basic cHJveHk6c2VjcmV0", "Digest x", "Basic %%%"])
def test_a_right_key_counts_beside_a_proxys_own_authorization(guarded: TestClient, other: str) -> None:
    assert status(guarded, "the-first-of-the-keys", Authorization=other) == 200


def test_a_right_password_counts_beside_a_wrong_header(guarded: TestClient) -> None:
    basic = "Basic " + base64.b64encode(b":the-first-of-the-keys").decode()
    assert status(guarded, "another-services-key", Authorization=basic) == 200


def taken(key: str, *headers: tuple[bytes, bytes]) -> bool:
    """Whether a request with these very bytes as headers passes."""
    scope = {"type": "http", "method": "GET", "path": "/models", "headers": headers, "query_string": b""}
    scope[CALLER] = "10.0.0.1"
    return Guard(lambda *_: None, (SecretStr(key),), "").check(Request(scope)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["schlüssel-für-分开-und-mehr", "schlüssel-für-alle"])
def test_a_key_beyond_ascii_is_the_bytes_of_its_utf8(key: str) -> None:
    assert taken(key, (b"x-api-key", key.encode()))
    assert taken(key, (b"authorization", b"Bearer " + key.encode()))
    assert taken(key, (b"authorization", b"Basic " + base64.b64encode(b"me:" + key.encode())))
    other = key.encode("latin-1", "ignore")
    assert not taken(key, (b"x-api-key", other))
    assert not taken(key, (b"authorization", b"Basic " + base64.b64encode(b"me:" + other)))


def test_the_scope_says_who_asks(models_dir: Path) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[CALLER])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    TestClient(Guard(app, (), ""), client=("10.0.0.7", 1)).get("/generate")
    key = "the-only-key-there-is"
    keyed = TestClient(Guard(app, (SecretStr(key),), ""), client=("10.0.0.7", 1))
    keyed.get("/generate", headers={"X-API-Key": key})
    assert seen == ["10.0.0.7", hashlib.sha256(key.encode()).hexdigest()]


def test_what_holds_a_key_does_not_show_it(models_dir: Path) -> None:
    key = "the-only-key-there-is"
    fields = settings(models_dir, api_keys=key)
    app = create_app(fields)
    held = [fields, fields.keys(), app.state.service, app.user_middleware]
    for shown in map(repr, held):
        assert key not in shown
        assert SECRET not in shown
