"""Sockets before anybody serves on them: what is bound, what is refused with which sentence, what is left behind."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.server import binding
from app.server.binding import given, on_addresses, on_path
from app.server.listening import ListenError, Listening, plain, url
from tests.app.server.test_listening import HOSTS, needs_ipv6


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nextchar-") as folder:
        yield Path(folder)


def names(listening: Listening) -> list[tuple[str, int]]:
    return [bound.getsockname()[:2] for bound in listening.sockets]


def connects(address: Any) -> bool:
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else _family(address)) as asking:
        asking.settimeout(30)
        return asking.connect_ex(address) == 0


def _family(address: tuple[str, int]) -> int:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def test_every_address_has_a_socket_and_all_have_one_port() -> None:
    with closing(on_addresses([*HOSTS, "127.0.0.1"], 0)) as listening:
        assert [host for host, _ in names(listening)] == list(HOSTS)
        (port,) = {port for _, port in names(listening)}
        assert port
        assert not any(connects(name) for name in names(listening)), "nobody can connect before it listens"


@needs_ipv6
def test_all_of_ipv6_means_ipv4_too_unless_an_ipv4_address_is_named() -> None:
    for hosts, bound in (
        (["::"], ["::", "0.0.0.0"]),
        (["0.0.0.0", "::"], ["0.0.0.0", "::"]),
        (["::", "127.0.0.1"], ["::", "127.0.0.1"]),
        (["::1"], ["::1"]),
    ):
        with closing(on_addresses(hosts, 0)) as listening:
            assert [host for host, _ in names(listening)] == bound
            for each in listening.sockets:
                each.listen()
            port = names(listening)[0][1]
            assert connects(("::1", port))
            assert connects(("127.0.0.1", port)) == (len(bound) > 1)


def test_a_name_stands_for_the_addresses_it_leads_to() -> None:
    with closing(on_addresses(["localhost"], 0)) as listening:
        assert {host for host, _ in names(listening)} <= {"127.0.0.1", "::1"}
        assert names(listening)


def test_a_free_port_that_another_address_does_not_have_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first port that the kernel gives is in use on the second address."""
    bind = binding._Place.bind
    taken: list[int] = []

    def once_in_use(place: Any, port: int) -> socket.socket:
        if port and not taken:
            taken.append(port)
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return bind(place, port)

    monkeypatch.setattr(binding._Place, "bind", once_in_use)
    with closing(on_addresses(["127.0.0.1", "127.0.0.2"], 0)) as listening:
        assert len({port for _, port in names(listening)}) == 1
    assert taken


@pytest.mark.parametrize("host", HOSTS)
def test_a_port_in_use_is_a_sentence_with_address_and_port(host: str) -> None:
    with closing(on_addresses([host], 0)) as first:
        first.sockets[0].listen()
        port = names(first)[0][1]
        where = url(_family((host, port)), (host, port))
        with pytest.raises(ListenError, match=rf"^cannot listen on {where.replace('[', '.')}: address already in use$"):
            on_addresses([host], port)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("192.0.2.1", "cannot listen on http://192.0.2.1:8000: this machine has no such address"),
        ("no-such-name.invalid", "cannot listen on 'no-such-name.invalid': no address is known for it ("),
        ("fe80::1%nowhere", "cannot listen on 'fe80::1%nowhere': no address is known for it ("),
    ],
)
def test_an_address_that_is_not_to_be_had_is_a_sentence(host: str, words: str) -> None:
    with pytest.raises(ListenError) as caught:
        on_addresses([host], 8000)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("lacks", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv6_an_address_is_a_sentence_and_a_name_has_its_others(
    lacks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = binding._Place.bind

    def without_ipv6(place: Any, port: int) -> socket.socket:
        if place.family == socket.AF_INET6:
            raise OSError(lacks, os.strerror(lacks))
        return bind(place, port)

    def both(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(binding._Place, "bind", without_ipv6)
    with pytest.raises(ListenError, match=r"^cannot listen on http://\[::\]:8000: this machine has no .*IPv6"):
        on_addresses(["::"], 8000)
    monkeypatch.setattr(socket, "getaddrinfo", both)
    with closing(on_addresses(["localhost"], 0)) as listening:
        assert [host for host, _ in names(listening)] == ["127.0.0.1"]


def test_an_interface_is_named_as_urls_name_it_and_never_in_a_host() -> None:
    assert url(socket.AF_INET6, ("fe80::1%eth0", 80, 0, 2)) == "http://[fe80::1%25eth0]:80"
    assert url(socket.AF_INET, ("10.0.0.1", 80)) == "http://10.0.0.1:80"
    assert url(socket.AF_UNIX, "/run/a.sock") == "http://unix:/run/a.sock"
    assert url(socket.AF_UNIX, b"\0hidden") == "http://unix:\0hidden"


def test_a_client_of_a_socket_for_both_kinds_has_an_ipv4_address() -> None:
    assert plain(("::ffff:10.0.0.1", 5)) == plain(("10.0.0.1", 5)) == ("10.0.0.1", 5)
    assert plain(("::1", 5)) == ("::1", 5)
    assert plain(("::ffff:0:1", 5)) == ("::ffff:0:1", 5)


def test_a_path_is_its_users_and_groups_and_is_gone_at_the_end(short: Path) -> None:
    path = short / "own.sock"
    umask = os.umask(0o022)
    try:
        with closing(on_path(path)) as listening:
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert os.umask(0o022) == 0o022
            assert connects(str(path)), "a second process sees that it is in use"
            assert listening.addresses() == ()
        assert not path.exists()
    finally:
        os.umask(umask)


def test_a_dead_socket_is_replaced_and_a_live_one_is_not(short: Path) -> None:
    path = short / "own.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with closing(on_path(path)):
        with pytest.raises(ListenError, match=r"^cannot listen on http://unix:/.*own.sock: address already in use$"):
            on_path(path)
        assert connects(str(path))


def test_a_live_socket_whose_process_is_busy_is_not_replaced(short: Path) -> None:
    path = short / "own.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))  # the one that may wait
        with pytest.raises(ListenError, match="in use"):
            on_path(path)


@pytest.mark.parametrize(
    ("name", "words"), [("file", "no socket"), ("none/a.sock", "no such file"), ("a" * 120, "too long")]
)
def test_a_path_that_cannot_be_had_is_a_sentence_and_nothing_is_removed(short: Path, name: str, words: str) -> None:
    (short / "file").write_text("kept")
    with pytest.raises(ListenError, match=rf"^cannot listen on http://unix:{short}/{name}: .*{words}"):
        on_path(short / name)
    assert (short / "file").read_text() == "kept"


def test_a_file_that_another_process_put_in_its_place_stays(short: Path) -> None:
    path = short / "own.sock"
    with closing(on_path(path)):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


@pytest.mark.parametrize("kind", ["nothing", "file", "connected", "datagrams"])
def test_what_is_handed_over_and_is_no_socket_to_listen_on_is_a_sentence(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = socket.socketpair()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with one, other, datagrams, (tmp_path / "file").open("w") as file:
        closed = os.dup(file.fileno())
        os.close(closed)
        kinds = {"nothing": closed, "file": file.fileno(), "connected": one.fileno(), "datagrams": datagrams.fileno()}
        monkeypatch.setattr(binding, "FIRST_GIVEN", kinds[kind])
        with pytest.raises(ListenError, match=rf"^descriptor {kinds[kind]} of LISTEN_FDS is no socket"):
            given(1)


def test_what_is_handed_over_is_served_where_it_was_bound_and_no_child_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        copy = os.dup(bound.fileno())
        os.set_inheritable(copy, True)
        monkeypatch.setattr(binding, "FIRST_GIVEN", copy)
        with closing(given(1)) as listening:
            assert names(listening) == [bound.getsockname()]
            assert listening.addresses() == ("127.0.0.1",)
            assert not os.get_inheritable(copy)
