from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.middleware.foreign_pages import ForeignPages
from tests.app.asgi import Inside, ask, passes_what_is_not_http, scope_of
from tests.app.conftest import client_of

KEY = "the-only-key-there-is"
AMBIENT = {"Authorization": "Basic " + base64.b64encode(f":{KEY}".encode()).decode()}
FRIEND = "https://friend.example"


def pages(inside: Any, bound: str = "127.0.0.1", origins: Any = (), hosts: Any = ()) -> ForeignPages:
    return ForeignPages(inside, bound.split(","), origins, hosts)


def status(method: str = "GET", path: str = "/models", about: dict[str, Any] | None = None, **headers: Any) -> int:
    return ask(pages(Inside(), **(about or {})), scope_of(method, path, **headers)).status


def test_what_is_not_http_passes() -> None:
    passes_what_is_not_http(pages)


def test_what_is_refused_does_not_get_inside_and_what_passes_is_unchanged() -> None:
    inside = Inside()
    refused = ask(pages(inside), scope_of(path="/v1/models", Origin="https://evil.example"))
    assert (refused.status, inside.calls) == (403, [])
    assert json.loads(refused.body)["error"]["type"] == "invalid_request_error"
    scope = scope_of()
    assert ask(pages(inside), scope).body == b"inside"
    assert inside.calls[0][0] is scope


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Host": "evil.example"}, ("Host: 'evil.example'", "NEXTCHAR_ALLOWED_HOSTS")),
        ({"Origin": "null"}, ("Origin: 'null'", "NEXTCHAR_CORS_ORIGINS")),
        ({"Sec_Fetch_Site": "same-site"}, ("Sec-Fetch-Site: 'same-site'", "NEXTCHAR_CORS_ORIGINS")),
    ],
)
def test_a_refusal_names_the_header_its_value_and_the_setting_that_allows_it(
    headers: dict[str, Any], words: tuple[str, str]
) -> None:
    detail = json.loads(ask(pages(Inside()), scope_of(**headers)).body)["detail"]
    assert detail.startswith(words[0])
    assert words[1] in detail


@pytest.mark.parametrize(
    ("bound", "hosts", "host", "taken"),
    [
        ("127.0.0.1", (), "localhost:8000", True),
        ("127.0.0.1", (), "", True),
        ("127.0.0.1", (), "ours.example", False),
        ("127.0.0.1", ("ours.example",), "ours.example", True),
        ("127.0.0.5", ("ours.example",), "127.0.0.5", True),
        ("127.0.0.5,::1", (), "[::1]:8000", True),
        ("127.0.0.5,::1", (), "127.0.0.5", True),
        ("127.0.0.1,::1", (), "ours.example", False),
        ("127.0.0.1,10.0.0.1", (), "ours.example", True),
        ("0.0.0.0", (), "ours.example", True),
        ("0.0.0.0", ("ours.example",), "ours.example", True),
        ("0.0.0.0", ("ours.example",), "other.example", False),
        ("0.0.0.0", ("ours.example",), "localhost", True),
    ],
)
def test_a_host_is_taken_where_it_is_a_name_of_the_service(
    bound: str, hosts: tuple[str, ...], host: str, taken: bool
) -> None:
    about = {"bound": bound, "hosts": hosts}
    headers = {"Host": host} if host else {}
    assert status(about=about, **headers) == (200 if taken else 421)
    for probe in ("/healthz", "/readyz"):
        assert status(path=probe, about=about, **headers) == 200


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),
        ({"Origin": "http://localhost:8000"}, True),
        ({"Origin": "http://localhost:3000"}, False),
        ({"Origin": ""}, False),
        ({"Origin": FRIEND, "Sec_Fetch_Site": "cross-site"}, True),
        ({"Origin": "http://localhost:8000", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "none"}, True),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
    ],
)
def test_a_pages_request_is_taken_from_here_and_from_named_origins(headers: dict[str, str], taken: bool) -> None:
    for path in ("/models", "/healthz", "/"):
        about = {"origins": (FRIEND,)}
        assert status("POST", path, about, Host="localhost:8000", **headers) == (200 if taken else 403)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/", "/docs", "/problems", "/problems/not-found", "/models", "/generate"])
@pytest.mark.parametrize("mode", ["navigate", "cors", None])
def test_a_link_may_open_a_page_and_nothing_else(method: str, path: str, mode: str | None) -> None:
    opens = method != "POST" and path not in ("/models", "/generate") and mode == "navigate"
    headers: dict[str, Any] = {"Sec_Fetch_Site": "cross-site", **({} if mode is None else {"Sec_Fetch_Mode": mode})}
    assert status(method, path, **headers) == (200 if opens else 403)
    assert status(method, path, Origin="https://evil.example", **headers) == 403


@pytest.fixture(scope="module", params=[{}, {"api_keys": KEY}], ids=["without keys", "with keys"])
def service(models_dir: Path, request: pytest.FixtureRequest) -> Iterator[TestClient]:
    with client_of(models_dir, cors_origins=FRIEND, **request.param) as client:
        client.headers.update(AMBIENT)  # what a browser adds by itself once a person typed the key
        yield client


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "null"},
    {"Origin": "http://testserver:3000", "Sec-Fetch-Site": "same-site"},
    {"Origin": FRIEND + ".evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
]
OWN = [
    {},
    {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://testserver"},  # TLS ended before us
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_pages_request_is_refused_whatever_it_asks(service: TestClient, headers: dict[str, str]) -> None:
    answers = [
        service.post("/generate", json={"prefix": "a", "num_chars": 1}, headers=headers),
        service.post("/generate", params={"prefix": "a"}, headers=headers),
        service.get("/generate", params={"prefix": "a"}, headers=headers),
        service.post("/score", json={"text": "ab"}, headers=headers),
        service.post("/v1/completions", json={"model": "tiny", "prompt": "a"}, headers=headers),
        service.get("/models", headers=headers),
        service.get("/", headers=headers),
    ]
    for answer in answers:
        assert answer.status_code == 403, (answer.request.url, answer.text)
        assert "NEXTCHAR_CORS_ORIGINS" in answer.text


@pytest.mark.parametrize("headers", OWN)
def test_our_own_page_programs_and_allowed_pages_are_served(service: TestClient, headers: dict[str, str]) -> None:
    answer = service.post("/generate", json={"prefix": "a", "num_chars": 1}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert service.get("/", headers=headers).status_code == 200


def test_a_link_from_elsewhere_opens_the_page_and_runs_nothing(service: TestClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert service.get("/", headers=link).status_code == 200
    assert service.post("/", headers=link).status_code == 403
    assert service.get("/generate", params={"prefix": "a"}, headers=link).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_on_a_loopback_address_only_its_names_are_taken(models_dir: Path, host: str) -> None:
    bound = f"[{host}]" if ":" in host else host
    with client_of(models_dir, host=host, allowed_hosts="proxy.example") as client:
        for name in ("localhost", "127.0.0.1:9", "[::1]:8000", "LOCALHOST.", bound, "proxy.example:80"):
            assert client.get("/models", headers={"Host": name}).status_code == 200, name
        for name in (
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8000",
            "10.0.0.1",
            "a@localhost",
        ):
            refused = client.get("/models", headers={"Host": name})
            assert refused.status_code == 421, name
            assert "NEXTCHAR_ALLOWED_HOSTS" in refused.json()["detail"]
        assert client.get("/readyz", headers={"Host": "balancer.example"}).status_code == 200


def test_on_other_addresses_any_name_is_taken_until_some_are_named(models_dir: Path) -> None:
    with client_of(models_dir, host="0.0.0.0", allowed_hosts="") as client:
        assert client.get("/models", headers={"Host": "any.example"}).status_code == 200
    with client_of(models_dir, host="0.0.0.0", allowed_hosts="ours.example") as client:
        for name in ("ours.example", "127.0.0.1:8000"):  # the second is the container's own check
            assert client.get("/models", headers={"Host": name}).status_code == 200
        assert client.get("/models", headers={"Host": "any.example"}).status_code == 421
