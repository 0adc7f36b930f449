"""What the service listens on, once it is bound; how an address is written, and what is said where none can be had."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAPPED = "::ffff:"


class ListenError(Exception):
    """Where the service should listen and cannot, as a sentence."""


class PortInUseError(ListenError):
    """Another process listens there."""


@dataclass(frozen=True)
class Listening:
    """Bound sockets. `own`: the file of a Unix socket that was made here, with its inode. Or all was made elsewhere."""

    sockets: list[socket.socket]
    own: tuple[Path, int] | None = None
    is_given: bool = False

    def addresses(self) -> tuple[str, ...]:
        """Those of IP, without what names an interface."""
        return tuple(s.getsockname()[0].partition("%")[0] for s in self.sockets if s.family != socket.AF_UNIX)

    def close(self) -> None:
        for bound in self.sockets:
            bound.close()
        self.remove()

    def remove(self) -> None:
        """Removes the file, unless another process has put its own in the place."""
        if self.own is not None:
            path, inode = self.own
            with contextlib.suppress(OSError):
                if path.stat().st_ino == inode:
                    path.unlink()


def url(family: int, name: Any) -> str:
    """Of a socket's name: `http://[::1]:8000`, `http://unix:/run/nextchar.sock`."""
    if family == socket.AF_UNIX:
        return f"http://unix:{os.fsdecode(name)}"
    host, port = name[:2]
    host = host.replace("%", "%25")  # RFC 6874
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def url_of(bound: socket.socket) -> str:
    return url(bound.family, bound.getsockname())


def plain(peer: tuple[str, int]) -> tuple[str, int]:
    """IPv4 as IPv4: a socket for both kinds names such a client `::ffff:10.0.0.1`."""
    host, port = peer
    return (host.removeprefix(MAPPED), port) if host.startswith(MAPPED) and "." in host else peer


def cannot(where: str, error: OSError) -> ListenError:
    reason = (error.strerror or str(error)).lower()
    if error.errno == errno.EAFNOSUPPORT:
        reason = "this machine has no IPv6"
    elif error.errno == errno.EADDRNOTAVAIL:
        reason = "this machine has no such address" + (" (or no IPv6)" if "[" in where else "")
    kind = PortInUseError if error.errno == errno.EADDRINUSE else ListenError
    return kind(f"cannot listen on {where}: {reason}")
