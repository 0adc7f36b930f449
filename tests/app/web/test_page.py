"""The pages' files as they are served. What they do is tested in a browser, in tests/app/test_page.py."""

from __future__ import annotations

import hashlib
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.web import docs, page, problem_pages
from app.web.files import SWAGGER_UI, web_files
from app.wire.handlers import install
from tests.app.conftest import ROOT

WEB = ROOT / "app" / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = [path for path in sorted(WEB.iterdir()) if path.suffix in TYPES]
FILES = [path for path in FILES if path.name != "problem.html"]  # it is filled in
PAGES = {"index.html": "/", "docs.html": "/docs"}
ADDRESSES = {PAGES.get(path.name, f"/web/{path.name}"): path for path in FILES}


@pytest.fixture(scope="module")
def pages() -> TestClient:
    app = FastAPI(docs_url=None)
    install(app)
    for router in (page.router, docs.router, problem_pages.router):
        app.include_router(router)
    return TestClient(app)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_file_comes_as_it_stands_with_its_type_and_a_strict_policy(pages: TestClient, address: str) -> None:
    path = ADDRESSES[address]
    got, head = pages.get(address), pages.head(address)
    assert (got.status_code, got.content) == (200, path.read_bytes())
    assert got.headers["content-type"] == TYPES[path.suffix]
    assert got.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["referrer-policy"] == "no-referrer"
    assert got.headers["cache-control"] == "private, no-cache"
    assert got.headers["etag"] == f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"'
    assert (head.status_code, head.headers) == (200, got.headers)


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"another", {tag}', 304),
        ('"another",W/{tag} , W/"third"', 304),
        ("*", 304),
        ('"another", *', 304),
        ('"another"', 200),
        ("", 200),
        ("{tag}x", 200),
    ],
)
def test_a_file_that_the_browser_has_is_not_sent_again(pages: TestClient, known: str, status: int) -> None:
    for address in ("/", "/docs", "/problems", "/problems/not-found", "/web/main.js"):
        whole = pages.get(address)
        again = pages.get(address, headers={"If-None-Match": known.format(tag=whole.headers["etag"])})
        assert again.status_code == status
        assert again.content == (b"" if status == 304 else whole.content)
        for name in ("etag", "cache-control", "content-security-policy"):
            assert again.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    "name", ["index.html", "docs.html", "problem.html", "nothing.js", "__init__.py", "%2e%2e%2fmain.py", "Main.js"]
)
def test_no_other_name_is_anything(pages: TestClient, name: str) -> None:
    refused = pages.get(f"/web/{name}")
    assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")
    # The words are those for any address with nothing there.
    assert refused.json()["detail"] in ("there is nothing at this address", pages.get("/no").json()["detail"])


@pytest.mark.parametrize("name", SWAGGER_UI)
def test_swagger_ui_comes_from_here(pages: TestClient, name: str) -> None:
    got = pages.get(f"/web/{name}")
    assert (got.status_code, got.content) == (200, web_files()[name].content)
    assert len(got.content) > 100_000
    assert got.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert got.headers["cache-control"] == "private, no-cache"
    assert f'="./web/{name}"' in pages.get("/docs").text


@pytest.mark.parametrize("address", ["/", "/docs", "/problems", "/problems/unknown-characters"])
def test_a_page_has_nothing_inline_and_nothing_from_elsewhere(pages: TestClient, address: str) -> None:
    text = pages.get(address).text
    assert not re.search(r"<style|<script(?![^>]* src=)| style=| on[a-z]+=|https?:|=\"//", text)
    assert all(
        link.startswith("./") or address.startswith("/problems/")
        for link in re.findall(r'(?:href|src)="([^"]*)"', text)
    )


@pytest.mark.parametrize("address", ["/problems/x", "/problems/a/b", "/problems/Not-Found", "/docs/x"])
def test_no_other_address_is_a_page(pages: TestClient, address: str) -> None:
    assert pages.get(address).status_code == 404
