"""What a head must be beyond what the parser asks, without a connection. All of it is sent in test_raw_requests.py."""

from __future__ import annotations

import pytest

from app.server.head import SHOWN_BYTES, BadRequestError, checked, shown


def refused(
    method: bytes = b"GET", version: str = "1.1", target: bytes = b"/", *headers: tuple[bytes, bytes]
) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        checked(method, version, target, list(headers))
    return caught.value


HOST = (b"host", b"a")


@pytest.mark.parametrize(
    "host", ["a", "A.b-c_d:8", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:18000", "a:", "%E5%88%86", "a."]
)
def test_one_host_is_a_host(host: str) -> None:
    headers = [(b"accept", b"x"), (b"host", host.encode())]
    assert checked(b"GET", "1.1", b"/a?b", headers) == b"/a?b"
    assert headers == [(b"accept", b"x"), (b"host", host.encode())]


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "a,b", "a@b", "a/b", "a?", "a#", "a:b", "a:123456", "[::1", "::1", "é", "a\\"]
)
def test_anything_else_is_none(host: str) -> None:
    error = refused(b"GET", "1.0", b"/", (b"host", host.encode("latin-1")))
    assert error.status == 400
    assert error.detail.startswith("Host: '")


def test_http_1_1_needs_a_host_and_http_1_0_does_not() -> None:
    assert refused().detail == "Host: is missing; HTTP/1.1 needs it"
    assert checked(b"GET", "1.0", b"/", []) == b"/"


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2", "3.0"])
def test_other_versions_are_505(version: str) -> None:
    error = refused(b"GET", version, b"/", HOST)
    assert (error.status, error.detail.split(" ")[0]) == (505, f"HTTP/{version}")


@pytest.mark.parametrize(
    ("method", "target", "left", "host"),
    [
        (b"GET", b"http://b/x?y", b"/x?y", b"b"),
        (b"GET", b"https://b:1/x", b"/x", b"b:1"),
        (b"GET", b"HTTP://B", b"/", b"B"),
        (b"GET", b"http://b?y=http://c/d", b"/?y=http://c/d", b"b"),
        (b"GET", b"http://[::1]:2//x", b"//x", b"[::1]:2"),
        (b"OPTIONS", b"http://b", b"*", b"b"),
        (b"OPTIONS", b"http://b/", b"/", b"b"),
        (b"OPTIONS", b"*", b"*", b"a"),
    ],
)
def test_a_host_in_the_target_takes_the_place_of_the_header(
    method: bytes, target: bytes, left: bytes, host: bytes
) -> None:
    headers = [HOST, (b"accept", b"x")]
    assert checked(method, "1.1", target, headers) == left
    assert dict(headers) == {b"accept": b"x", b"host": host}
    assert len(headers) == 2


def test_without_a_header_it_becomes_the_host() -> None:
    headers: list[tuple[bytes, bytes]] = []
    assert checked(b"GET", "1.0", b"http://b/x", headers) == b"/x"
    assert headers == [(b"host", b"b")]


@pytest.mark.parametrize(
    "target", [b"*", b"http://", b"http://u@b/", b"ws://b/", b"b/x", b"b:80", b"/x#y", b"http://b/#y"]
)
def test_other_targets_are_400(target: bytes) -> None:
    assert refused(b"GET", "1.1", target, HOST).status == 400


@pytest.mark.parametrize(
    ("codings", "version", "status"),
    [
        ([b"gzip"], "1.1", 400),
        ([b"chunked, gzip"], "1.1", 400),
        ([b"gzip, chunked"], "1.1", 501),
        ([b"gzip", b"chunked"], "1.1", 501),
        ([b"chunked"], "1.0", 400),
        ([b""], "1.1", 400),
    ],
)
def test_codings_that_are_not_chunks_alone_are_refused(codings: list[bytes], version: str, status: int) -> None:
    headers = [HOST, *((b"transfer-encoding", coding) for coding in codings)]
    error = refused(b"POST", version, b"/", *headers)
    assert error.status == status
    assert error.detail.startswith("Transfer-Encoding: ")


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"chunked "])
def test_chunks_alone_are_taken(coding: bytes) -> None:
    assert checked(b"POST", "1.1", b"/", [HOST, (b"transfer-encoding", coding)]) == b"/"


def test_what_a_client_sent_is_shown_short_and_printable() -> None:
    assert shown(b"a b") == "'a b'"
    assert shown(b"\x1b\xff\n") == r"'\x1b\xff\n'"
    assert shown(b"a" * SHOWN_BYTES) == f"'{'a' * SHOWN_BYTES}'"
    for long in (b"a" * 1000, b"\xff" * 1000, b"'" * 1000):
        assert len(shown(long)) <= SHOWN_BYTES + 4
        assert shown(long).endswith("…'")
