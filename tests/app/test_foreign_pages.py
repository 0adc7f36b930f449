from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.app.conftest import client_of

KEY = "the-only-key-there-is"
AMBIENT = {"Authorization": "Basic " + base64.b64encode(f":{KEY}".encode()).decode()}
FRIEND = "https://friend.example"


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
