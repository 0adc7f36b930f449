from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.main import create_app
from app.settings import Settings
from app.web_origin import OWN_PARTS, check_host, check_origin, check_prefix, host_name, is_own, local_names
from tests.app.every_route import examples


@pytest.mark.parametrize(
    "origin",
    ["https://a.example", "http://localhost:3000", "http://[::1]:3000", "http://127.0.0.1", "moz-extension://1f2e-3d"],
)
def test_what_browsers_send_is_taken_as_it_is(origin: str) -> None:
    assert check_origin(origin) == origin


@pytest.mark.parametrize(
    ("origin", "instead"),
    [
        ("https://a.example/", "https://a.example"),
        ("https://a.example/app", "https://a.example"),
        ("https://a.example?x", "https://a.example"),
        ("https://A.example", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("https://me@a.example", "https://a.example"),
    ],
)
def test_what_they_never_send_is_refused_with_what_they_do(origin: str, instead: str) -> None:
    with pytest.raises(ValueError, match=f"write '{instead}'$"):
        check_origin(origin)


@pytest.mark.parametrize(
    "origin", ["*", "null", "a.example", "//a.example", "https://", "http://a:x", "http://分开.cn"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        check_origin(origin)


@pytest.mark.parametrize("name", ["https://a.example", "a.example:80", "a.example/", "", "a b", "::1"])
def test_a_host_is_a_name_alone(name: str) -> None:
    with pytest.raises(ValueError, match="alone"):
        check_host(name)
    assert [check_host(n) for n in ("A.example", "[::1]", "10.0.0.1")] == ["a.example", "[::1]", "10.0.0.1"]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8000", "localhost"),
        ("localhost.:80", "localhost"),
        ("[::1]", "[::1]"),
        ("[::1]:8000", "[::1]"),
        ("a.example:", "a.example"),
    ],
)
def test_a_name_is_a_host_without_port_and_final_dot(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("https://a.example", "a.example", True),
        ("https://a.example", "a.example:443", True),
        ("https://a.example", "A.EXAMPLE", True),
        ("http://a.example:8080", "a.example", False),
        ("http://localhost:3000", "localhost:8000", False),
        ("http://b.example", "a.example", False),
        ("null", "null", False),
        ("", "", False),
    ],
)
def test_a_page_is_our_own_when_its_host_and_port_are_ours(origin: str, host: str, own: bool) -> None:
    assert is_own(origin, host) is own


def test_only_a_loopback_address_has_names_that_are_known() -> None:
    local = frozenset({"localhost", "127.0.0.1", "[::1]"})
    assert local_names("127.0.0.1") == local_names("localhost") == local_names("::1") == local
    assert local_names("127.0.0.5") == local | {"127.0.0.5"}
    assert local_names("127.0.0.5", "::1", "localhost") == local | {"127.0.0.5"}
    assert local_names("127.0.0.1", "192.168.1.2") is local_names() is None
    assert local_names("0.0.0.0") is local_names("::") is local_names("192.168.1.2") is local_names("a.example") is None


PORTS = st.one_of(st.none(), st.integers(1, 65535))
NAMES = st.sampled_from(["a.example", "localhost", "127.0.0.1", "[::1]", "x-y.z_9"])


def sent(scheme: str, name: str, port: int | None) -> str:
    """Scheme, name and port as browsers write them: without the port that goes without saying."""
    said = port is not None and (scheme, port) not in {("http", 80), ("https", 443)}
    return f"{scheme}://{name}" + (f":{port}" if said else "")


@given(st.sampled_from(["http", "https", "app"]), NAMES, PORTS)
def test_an_origin_is_scheme_name_and_port_as_browsers_write_them(scheme: str, name: str, port: int | None) -> None:
    written = f"{scheme}://{name}" + ("" if port is None else f":{port}")
    if written == sent(scheme, name, port):
        assert check_origin(written) == written
    else:
        with pytest.raises(ValueError, match=f"'{re.escape(sent(scheme, name, port))}'"):
            check_origin(written)


@given(st.sampled_from(["http", "https"]), NAMES, PORTS, NAMES, PORTS)
def test_a_page_is_ours_exactly_where_host_and_port_are(
    scheme: str, name: str, port: int | None, other: str, others_port: int | None
) -> None:
    host = other + ("" if others_port is None else f":{others_port}")
    usual = {"http": 80, "https": 443}[scheme]
    same = (name, port or usual) == (other, others_port or usual)
    assert is_own(sent(scheme, name, port), host) is same
    assert is_own(sent(scheme, name, port).upper(), f" {host.title()} ") is same


@given(NAMES, PORTS, st.booleans())
def test_a_name_is_what_stands_before_port_and_final_dot(name: str, port: int | None, dot: bool) -> None:
    host = name.upper() + "." * dot + ("" if port is None else f":{port}")
    assert host_name(f" {host} ") == name


@pytest.mark.parametrize("path", ["/a", "/nextchar", "/texts/next.char", "/~me/a-b_c", "/A/1", "/a/models", "/webs"])
def test_a_path_that_a_proxy_can_have_us_below_is_taken_as_it_is(path: str) -> None:
    assert check_prefix(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/", "a", "a/b", "/a/", "//a", "/a//b", "/..", "/a/../b", "/.a", "/a?b", "/a#", "/a b", "/分", "/a\n", "/%61"],
)
def test_any_other_path_is_refused_by_name(path: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(path))):
        check_prefix(path)


def test_a_prefix_does_not_begin_as_any_address_of_ours() -> None:
    first = {example.target.partition("?")[0].split("/")[1] for example in examples(create_app(Settings()))} - {""}
    assert first == OWN_PARTS
    for part in first:
        for path in (f"/{part}", f"/{part}/a"):
            with pytest.raises(ValueError, match="begins like an address of the service's own"):
                check_prefix(path)


@pytest.mark.parametrize("word", ["*", "a b", "http://a:x", "http://分开.cn"])
def test_a_refused_origin_is_named(word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(word))):
        check_origin(word)
    with pytest.raises(ValueError, match=re.escape(repr(word))):
        check_host(word)


def test_a_loopback_address_of_version_6_stands_in_brackets() -> None:
    # Python takes the whole of 127.0.0.0/8 and ::1 for loopback, and mapped ones only from 3.13 on.
    assert local_names("0:0:0:0:0:0:0:1") == frozenset({"localhost", "127.0.0.1", "[::1]", "[0:0:0:0:0:0:0:1]"})
    assert local_names("LOCALHOST") == local_names("127.0.0.1")
