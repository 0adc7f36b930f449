from __future__ import annotations

import pytest

from app.middleware.forwarded import Forwarded
from tests.app.asgi import Inside, ask, passes_what_is_not_http, scope_of


def root_path(*values: str, client: tuple[str, int] | None = ("10.0.0.1", 1), trusted: str = "10.0.0.1") -> str | None:
    """The prefix that reaches the app, None where the server's own stays."""
    inside = Inside()
    scope = scope_of(client=client, X_Forwarded_For="192.0.2.7")
    scope["headers"] += [(b"x-forwarded-prefix", value.encode("latin-1")) for value in values]
    ask(Forwarded(inside, trusted), scope)
    found: str | None = inside.calls[0][0].get("root_path")
    return found


def test_what_is_not_http_passes() -> None:
    passes_what_is_not_http(lambda inside: Forwarded(inside, "*"))


def test_a_prefix_is_believed_of_the_peers_whose_address_of_the_client_is() -> None:
    assert root_path("/texts") == "/texts"
    assert root_path("/texts", trusted="*") == "/texts"
    assert root_path("/texts", trusted="10.0.0.0/8") == "/texts"
    assert root_path("/texts", trusted="10.0.0.2") is None
    assert root_path("/texts", trusted="192.0.2.7") is None  # whom the peer stands for
    assert root_path("/texts", client=None) is None
    assert root_path() is None


@pytest.mark.parametrize("value", ["", "texts", "/texts/", "/a//b", "/../a", "/a?b", "/models", "/\xe4"])
def test_what_is_no_prefix_is_left_alone(value: str) -> None:
    assert not root_path(value)


def test_of_two_values_none_counts() -> None:
    assert root_path("/a", "/b") is None


def test_the_clients_address_and_the_scheme_are_taken_as_before() -> None:
    inside = Inside()
    ask(Forwarded(inside, "10.0.0.1"), scope_of(X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https"))
    scope = inside.calls[0][0]
    assert (scope["client"], scope["scheme"]) == (("192.0.2.7", 0), "https")
