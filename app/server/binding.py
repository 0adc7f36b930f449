"""Makes the sockets that the service listens on: on addresses, on a path, or out of what whoever started it hands over.

They are bound before anything is loaded, and nobody can connect yet: the server listens once it can answer. A Unix
socket alone takes connections at once, so that another process sees that its path is in use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from app.server.listening import ListenError, Listening, PortInUseError, cannot, url

ALL_IPV4, ALL_IPV6 = "0.0.0.0", "::"
FIRST_GIVEN = 3  # what is handed over is the descriptors from here on (sd_listen_fds)
FREE_PORT_TRIES = 20  # for a port that is free on every address
NOT_HERE = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}  # a kind of address that this machine lacks
PATH_MODE = 0o660  # who may connect: the process's own user and group
BACKLOG = 2048


def on_addresses(hosts: Sequence[str], port: int) -> Listening:
    """A socket for each address, all with one port; 0 takes a free one. Raises ListenError.

    `::` alone means every address. IPv4 has a socket of its own then, so that its clients have IPv4 addresses.
    """
    places = list(dict.fromkeys(place for host in hosts for place in _places(host)))
    if ALL_IPV6 in hosts and not any(place.family == socket.AF_INET for place in places):
        places += _places(ALL_IPV4)
    tries = 1 if port else FREE_PORT_TRIES
    while True:
        tries -= 1
        try:
            return Listening(_bind_all(places, port))
        except PortInUseError:
            if not tries:
                raise


def on_path(path: Path) -> Listening:
    """A Unix socket. A file that a dead process left there is replaced. Raises ListenError."""
    where = url(socket.AF_UNIX, str(path))
    bound = socket.socket(socket.AF_UNIX)
    umask = os.umask(0o777 & ~PATH_MODE)  # so that the file has no other mode at any time
    try:
        _remove_dead(path)
        bound.bind(str(path))
        bound.listen(BACKLOG)
        return Listening([bound], (path, path.stat().st_ino))
    except OSError as error:
        bound.close()
        raise cannot(where, error) from error
    finally:
        os.umask(umask)


def given(count: int) -> Listening:
    """The sockets that were handed over, which are somebody else's to make and to remove. Raises ListenError."""
    return Listening([_given(number) for number in range(FIRST_GIVEN, FIRST_GIVEN + count)], is_given=True)


@dataclass(frozen=True)
class _Place:
    """`address`: as sockets take it, with a port of 0. One that a name leads to may be missing."""

    family: int
    address: Any
    is_named: bool

    def bind(self, port: int) -> socket.socket:
        bound = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((self.address[0], port, *self.address[2:]))
        except OSError:
            bound.close()
            raise
        return bound


def _places(host: str) -> list[_Place]:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {host!r}: no address is known for it ({error})") from error
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return [_Place(family, address, True) for family, _, _, _, address in found]
    return [_Place(family, address, False) for family, _, _, _, address in found]


def _bind_all(places: Sequence[_Place], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: ListenError | None = None
    with contextlib.ExitStack() as opened:
        for place in places:
            wanted = port or (sockets[0].getsockname()[1] if sockets else 0)
            try:
                sockets.append(opened.enter_context(place.bind(wanted)))
            except OSError as error:
                missing = cannot(url(place.family, (place.address[0], wanted)), error)
                if not place.is_named or error.errno not in NOT_HERE:
                    raise missing from error
        if not sockets:
            raise missing or ListenError("cannot listen: no address was named")
        opened.pop_all()
    return sockets


def _remove_dead(path: Path) -> None:
    """Raises OSError where the path is in use, by a process that listens or by another kind of file."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)  # a process that is too busy to answer lives
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except BlockingIOError:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _given(number: int) -> socket.socket:
    try:
        handed = socket.socket(fileno=number)
    except OSError as error:
        raise ListenError(f"descriptor {number} of LISTEN_FDS is no socket ({error.strerror})") from error
    is_known = handed.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    if not (is_known and handed.type == socket.SOCK_STREAM and _accepts(handed)):
        handed.detach()
        raise ListenError(f"descriptor {number} of LISTEN_FDS is no socket that listens for TCP or on a path")
    handed.set_inheritable(False)
    return handed


def _accepts(handed: socket.socket) -> bool:
    return handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0
