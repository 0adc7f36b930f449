from __future__ import annotations

from typing import Any

import pytest

from app.middleware.plain_path import PlainPath
from tests.app.asgi import Inside, ask, passes_what_is_not_http, scope_of


def seen(path: str, setting: str = "", **more: Any) -> tuple[str, str]:
    """Path and prefix as they reach the app."""
    inside = Inside()
    given = {**scope_of(path=path), **more}
    assert ask(PlainPath(inside, setting), given).body == b"inside"
    scope = inside.calls[0][0]
    assert scope is given  # the server knows a request by its scope
    return scope["path"], scope.get("root_path", "")


def test_what_is_not_http_passes() -> None:
    passes_what_is_not_http(lambda inside: PlainPath(inside, "/a"))


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/", "/"),
        ("/models", "/models"),
        ("/models/", "/models"),
        ("/models/tiny/", "/models/tiny"),
        ("//", "//"),
        ("/models//", "/models//"),
        ("//models/", "//models"),
        ("*", "*"),
        ("", ""),
    ],
)
def test_one_slash_at_the_end_is_taken_off(path: str, plain: str) -> None:
    assert seen(path) == (plain, "")


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/a/b", "/"),
        ("/a/b/", "/"),
        ("/a/b/models", "/models"),
        ("/a/b/models/", "/models"),
        ("/models", "/models"),
        ("/", "/"),
        ("/a/bc", "/a/bc"),
        ("/a", "/a"),
        ("/a/b//", "//"),
        ("/a/b//models", "//models"),
    ],
)
def test_a_prefix_is_taken_off_where_it_is(path: str, plain: str) -> None:
    assert seen(path, "/a/b") == (plain, "/a/b")


def test_links_begin_with_the_prefix_of_the_request_and_no_path_loses_it() -> None:
    assert seen("/models", "/ours", root_path="/theirs") == ("/models", "/theirs")
    assert seen("/ours/models", "/ours", root_path="/theirs") == ("/models", "/theirs")
    assert seen("/ours/models", "/ours", root_path="") == ("/models", "/ours")
    assert seen("/models", root_path="/theirs") == ("/models", "/theirs")
    assert seen("/theirs/models", root_path="/theirs") == ("/theirs/models", "")
    assert seen("/theirs", "/ours", root_path="/theirs") == ("/theirs", "")


def test_a_prefix_is_taken_off_once_and_not_again_by_the_framework() -> None:
    assert seen("/a/a/models", "/a") == ("/a/models", "")
    assert seen("/a/a", "/a") == ("/a", "")
