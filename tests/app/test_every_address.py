"""How an address may be written and asked: with a slash at its end, with HEAD and OPTIONS, below a prefix of a proxy's.

On every route of a real server, over real sockets.
"""

from __future__ import annotations

import json
import re
import socket
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from app.main import create_app
from app.settings import Settings
from app.wire.problem_types import BY_NAME, PROBLEM_TYPES
from tests.app.conftest import Server
from tests.app.every_route import Example, examples

EXAMPLES = list(examples(create_app(Settings())))
GETS = [example for example in EXAMPLES if example.method == "GET"]
PREFIX = "/texts/nextchar"
KEY = "a-key-of-more-than-sixteen-characters"
CHANGING = {"/metrics", "/v1/completions"}  # figures, and an id with a moment


@pytest.fixture(scope="module")
def below(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Below a prefix, with keys and a rate, so that all of this is asked for there too."""
    folder = tmp_path_factory.mktemp("below")
    with Server(
        folder,
        models_dir,
        NEXTCHAR_ROOT_PATH=PREFIX,
        NEXTCHAR_API_KEYS=KEY,
        NEXTCHAR_RATE_LIMIT="500/minute",
    ) as running:
        yield running


def ask(server: Server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters and body."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request)
        method = request.split(b" ", 1)[0].decode()
        answer = HTTPResponse(connection, method=method)
        answer.begin()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()


def servers(document: bytes) -> list[str]:
    return [server["url"] for server in json.loads(document)["servers"]]


def moved(example: Example, before: str = "", behind: str = "") -> Example:
    path, question, query = example.target.partition("?")
    return replace(example, target=f"{before}{path}{behind}{question}{query}")


def lasting(example: Example, body: bytes) -> bytes:
    """What of a body is the same the next time, and from an address that is one slash longer."""
    return b"" if example.route in CHANGING else re.sub(rb'"timing":{[^}]*}|(?<==")(\.\./|\./)+', b"", body)


def get(target: str, *lines: str) -> bytes:
    return Example("GET", target, target, b"").raw(*lines)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_slash_at_the_end_of_an_address_changes_nothing(server: Server, example: Example) -> None:
    status, headers, body = ask(server, example.raw())
    slashed = ask(server, moved(example, behind="/" if example.target != "/" else "").raw())
    assert (status, slashed[0]) == (200, 200), slashed
    assert slashed[1]["content-type"] == headers["content-type"]
    assert lasting(example, slashed[2]) == lasting(example, body)


@pytest.mark.parametrize("path", ["//", "/generate//", "//models", "/models//tiny", "/web/", "/v1/", "/models/tiny//"])
def test_an_empty_part_in_an_address_is_nothing(server: Server, path: str) -> None:
    status, headers, body = ask(server, get(path))
    assert status == 404
    assert "location" not in headers
    assert json.loads(body)["status"] == 404


@pytest.mark.parametrize("example", GETS, ids=str)
def test_head_gives_what_get_gives_without_the_body(server: Server, example: Example) -> None:
    status, headers, _ = ask(server, example.raw())
    for target in (example.target, moved(example, behind="/").target):
        if target == "//":
            continue
        head = Example("HEAD", example.route, target, b"")
        for version in ("1.0", "1.1"):
            assert ask(server, head.raw(version=version))[::2] == (status, b"")
            assert ask(server, head.raw(version=version))[1]["content-type"] == headers["content-type"]


def methods() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(lambda: {"OPTIONS"})
    for example in EXAMPLES:
        found[example.target.partition("?")[0]] |= {example.method} | ({"HEAD"} if example.method == "GET" else set())
    return found


@pytest.mark.parametrize(("path", "names"), methods().items())
def test_allow_names_every_method_of_an_address(server: Server, below: Server, path: str, names: set[str]) -> None:
    asked = [Example("OPTIONS", path, target, b"").raw() for target in (path, path.rstrip("/") + "/")]
    bare = f"OPTIONS {path} HTTP/1.0\r\n\r\n".encode()  # as a balancer sends it, without a Host
    for running in (server, below):  # no key is asked for: it says what the documentation says
        for request in (*asked, bare):
            status, headers, body = ask(running, request)
            assert (status, body) == (204, b"")
            assert set(headers["allow"].split(", ")) == names
    status, headers, _ = ask(server, Example("DELETE", path, path, b"").raw())
    assert (status, set(headers["allow"].split(", "))) == (405, names)


def test_options_of_the_server_itself_names_every_method_it_knows(server: Server, below: Server) -> None:
    known = set().union(*methods().values())
    for running in (server, below):
        for request in (b"OPTIONS * HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            status, headers, body = ask(running, request)
            assert (status, body, set(headers["allow"].split(", "))) == (204, b"", known)
    assert ask(server, b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] in (400, 404)
    assert ask(server, b"OPTIONS /nothing HTTP/1.0\r\n\r\n")[0] == 404


def test_a_probe_of_the_page_counts_against_no_rate(models_dir: Path, tmp_path: Path) -> None:
    with Server(tmp_path, models_dir, NEXTCHAR_RATE_LIMIT="1/minute") as running:
        for _ in range(3):
            assert ask(running, b"OPTIONS / HTTP/1.0\r\n\r\n")[0] == 204
        statuses = [ask(running, get(path))[0] for path in ("/models/", "/models/")]
    assert statuses == [200, 429]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_below_a_prefix_each_route_is_there_whether_the_proxy_takes_it_off_or_not(
    below: Server, example: Example
) -> None:
    key = f"X-API-Key: {KEY}"
    for target in (example, moved(example, PREFIX), moved(example, PREFIX, "/" if example.target != "/" else "")):
        status, headers, body = ask(below, target.raw(key))
        assert status == 200, (target, body)
        assert "location" not in headers
        is_open = example.route in ("/healthz", "/readyz", "/problems", "/problems/{name}")
        assert ask(below, target.raw())[0] == (200 if is_open else 401)


@pytest.mark.parametrize("path", [f"{PREFIX}{PREFIX}/models", f"{PREFIX}x/models", "/texts/models", f"{PREFIX}//"])
def test_what_only_looks_like_the_prefix_is_nothing(below: Server, path: str) -> None:
    assert ask(below, get(path, f"X-API-Key: {KEY}"))[0] == 404


def test_below_a_prefix_what_is_compared_with_addresses_holds(below: Server) -> None:
    key = f"X-API-Key: {KEY}"
    for path in ("/generate", "/generate/", f"{PREFIX}/generate", f"{PREFIX}/generate/"):
        wrong_kind = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{key}\r\nContent-Type: text/plain\r\n"
        assert ask(below, f"{wrong_kind}Content-Length: 2\r\n\r\nab".encode())[0] == 415
    for path in ("/", "/docs/", PREFIX, f"{PREFIX}/", f"{PREFIX}/docs"):
        assert ask(below, get(path))[1]["www-authenticate"].startswith("Basic")
    foreign = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", key)
    for path in ("/", "/docs", "/docs/", PREFIX, f"{PREFIX}/", f"{PREFIX}/docs", f"{PREFIX}/docs/"):
        assert ask(below, get(path, *foreign))[0] == 200, path
    for path in ("/models", f"{PREFIX}/models/"):
        assert ask(below, get(path, *foreign))[0] == 403, path
    for path in ("/v1/no", f"{PREFIX}/v1/no", f"{PREFIX}/v1/no/"):
        assert "error" in json.loads(ask(below, get(path, key))[2])
    for path in ("/healthz/", f"{PREFIX}/readyz", f"{PREFIX}/healthz/"):
        assert ask(below, get(path))[0] == 200


def links(address: str, page: bytes) -> list[str]:
    """Where the page's own files lie for a browser that has it from this address."""
    found = re.findall(r'(?:href|src)="([^":]+)"', page.decode())
    return [urlsplit(urljoin(f"http://localhost{address}", link)).path for link in found]


PAGES = {
    "": 4,
    "/docs": 9,
    "/problems": 6 + len(PROBLEM_TYPES),
    "/problems/not-found": 7,
}  # and how many links each has


@pytest.mark.parametrize(("page", "count"), PAGES.items())
def test_each_page_finds_its_files_below_the_prefix(server: Server, below: Server, page: str, count: int) -> None:
    key = f"X-API-Key: {KEY}"
    for path in (page or "/", f"{page}/", f"{PREFIX}{page}", f"{PREFIX}{page}/"):
        found = links(f"{PREFIX}{page}", ask(below, get(path, key))[2])
        assert found == links(f"{PREFIX}{page}/", ask(below, get(path, key))[2])
        assert len(found) == count
        assert all(link.startswith(f"{PREFIX}/") for link in found)
    assert all(ask(below, get(link, key))[0] == 200 for link in set(found))


@pytest.mark.parametrize("page", PAGES)
def test_without_a_prefix_each_pages_links_hold_below_one_that_no_proxy_names(server: Server, page: str) -> None:
    for path in (page or "/", f"{page}/"):
        found = links(f"/unnamed{path}", ask(server, get(path))[2])
        assert all(link.startswith("/unnamed/") for link in found)
        assert all(ask(server, get(link.removeprefix("/unnamed")))[0] == 200 for link in set(found))


def test_the_pages_tag_is_of_what_it_holds(server: Server, below: Server) -> None:
    tags = {ask(running, get("/", f"X-API-Key: {KEY}"))[1]["etag"] for running in (server, below)}
    assert len(tags) == 2


def test_documentation_and_document_name_the_prefix(server: Server, below: Server) -> None:
    key = f"X-API-Key: {KEY}"
    for path in ("/openapi.json", f"{PREFIX}/openapi.json"):
        assert servers(ask(below, get(path, key))[2]) == [PREFIX]
    for path in ("/docs", f"{PREFIX}/docs", f"{PREFIX}/docs/"):
        assert f'href="{PREFIX}/openapi.json"' in ask(below, get(path, key))[2].decode()
    assert servers(ask(server, get("/openapi.json"))[2]) == ["/"]


def test_links_begin_with_the_prefix_that_a_proxy_took_off(server: Server, below: Server) -> None:
    header, key = "X-Forwarded-Prefix: /others", f"X-API-Key: {KEY}"
    for running, paths in ((server, ["/"]), (below, ["/", PREFIX, f"{PREFIX}/"])):
        for path in paths:
            slashed = path.rstrip("/")
            document = ask(running, get(f"{slashed}/openapi.json", header, key))[2]
            assert servers(document) == ["/others"]
            for page in PAGES:
                shown = ask(running, get(f"{slashed}{page}" or "/", header, key))[2]
                assert all(link.startswith("/others/") for link in links("/others", shown)), page
            assert (
                json.loads(ask(running, get(f"{slashed}/no", header, key))[2])["type"] == "/others/problems/not-found"
            )
    assert servers(ask(server, get("/openapi.json"))[2]) == ["/"]  # the next request has none


def test_a_named_prefix_leads_nowhere_that_the_path_does_not(server: Server, below: Server) -> None:
    """Else a client could pass by a proxy that closes some addresses and leaves unknown headers as they are."""
    for running in (server, below):
        for path in ("/x/metrics", "/x/healthz", "/x", f"{PREFIX}/x/metrics", f"/x{PREFIX}/metrics"):
            for named in ("/x", f"{PREFIX}/x", f"/x{PREFIX}"):
                asked = get(path, f"X-Forwarded-Prefix: {named}", f"X-API-Key: {KEY}")
                assert ask(running, asked)[0] == 404


@pytest.mark.parametrize(
    "value",
    [
        "",
        "/",
        "texts",
        "/texts/",
        "//texts",
        "/a//b",
        "/a/../b",
        "/.",
        "/a?b",
        "/a#b",
        '/"><b>',
        "/a b",
        "/models",
        "/web/x",
    ],
)
def test_a_named_prefix_that_could_not_be_one_is_none(server: Server, value: str) -> None:
    status, _, body = ask(server, get("/openapi.json", f"X-Forwarded-Prefix: {value}"))
    assert (status, servers(body)) == (200, ["/"])


def test_of_two_named_prefixes_none_is_taken(server: Server) -> None:
    twice = ("X-Forwarded-Prefix: /a", "X-Forwarded-Prefix: /b")
    assert servers(ask(server, get("/openapi.json", *twice))[2]) == ["/"]
    assert servers(ask(server, get("/openapi.json", "X-Forwarded-Prefix: /a, /b"))[2]) == ["/"]


def test_a_prefix_is_believed_of_whom_the_clients_address_is(models_dir: Path, tmp_path: Path) -> None:
    header = "X-Forwarded-Prefix: /texts"
    with Server(tmp_path, models_dir, FORWARDED_ALLOW_IPS="10.9.8.7") as running:
        assert servers(ask(running, get("/openapi.json", header))[2]) == ["/"]


LONG = "a" * 40_000
REFUSED = {  # what is sent ↦ the kind of the problem that it is answered with
    get("/no"): "not-found",
    get("/models/no"): "model-not-found",
    get("/generate?prefix=a&num_chars=0"): "invalid-field",
    get("/generate?prefix=%E9%BE%98"): "unknown-characters",
    get("/generate?prefix=a&stream=true&num_chars=0"): "invalid-field",
    get("/models", "Host: evil.example").replace(b"Host: localhost\r\n", b""): "unknown-host",
    get("/models", "Origin: https://evil.example"): "foreign-page",
    Example("DELETE", "", "/models", b"").raw(): "method-not-allowed",
    Example("POST", "", "/score", b"ab").raw().replace(b"application/json", b"text/plain"): "unsupported-body",
    Example("POST", "", "/score", b"").raw("Content-Length: 99999999"): "body-too-large",
    # Refused before the app has it.
    b"hello\r\n\r\n": "unreadable-request",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": "unsupported-version",
    get(f"/{LONG}"): "address-too-long",
    get("/", f"X-A: {LONG}"): "head-too-large",
    Example("POST", "", "/score", b"").raw("Transfer-Encoding: gzip, chunked"): "unsupported-coding",
}


@pytest.mark.parametrize(("request_", "name"), REFUSED.items(), ids=REFUSED.values())
def test_a_refusal_leads_to_a_page_about_it_that_needs_no_key(
    server: Server, below: Server, request_: bytes, name: str
) -> None:
    keyed = request_.replace(b"\r\nHost:", f"\r\nX-API-Key: {KEY}\r\nHost:".encode())
    for running, asked, prefix in ((server, request_, ""), (below, keyed, PREFIX)):
        status, headers, body = ask(running, asked)
        problem, kind = json.loads(body), BY_NAME[name]
        assert headers["content-type"] == "application/problem+json"
        assert (problem["type"], problem["title"]) == (f"{prefix}/problems/{name}", kind.title)
        assert status == problem["status"] == kind.status
        opened = ask(running, get(problem["type"]))
        assert (opened[0], opened[1]["content-type"]) == (200, "text/html; charset=utf-8")
        assert f"<h1>{kind.title}</h1>" in opened[2].decode()


def test_without_a_key_too_the_answer_leads_to_a_page(below: Server) -> None:
    problem = json.loads(ask(below, get("/models"))[2])
    assert problem["type"] == f"{PREFIX}/problems/invalid-api-key"
    page = ask(below, get(problem["type"]))[2]
    assert b"X-API-Key" in page
    looks = [link for link in links(problem["type"], page) if "/web/" in link]
    assert [ask(below, get(link))[0] for link in looks] == [200] * 3
