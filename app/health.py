"""Exits 0 when the service of these settings answers /readyz with 200, else 1 with what it answered.

`python -m app.health` reads the variables that say where the service listens, as the service does. It is started every
few seconds, so it imports neither the settings nor the service: 0.1 s of a core instead of 0.7 s.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException

from app.addresses import ALL_IPV4, ALL_IPV6, DEFAULT_HOST, DEFAULT_PORT, addresses, is_link

TIMEOUT_S = 4.0
# Where all addresses are asked. A container may have the one of IPv6 in name only.
FROM_HERE = {ALL_IPV4: ("127.0.0.1",), ALL_IPV6: ("::1", "127.0.0.1")}


def connect(variables: Mapping[str, str]) -> socket.socket:
    """A connection to the first address that the service listens on. Raises OSError, ValueError for a wrong setting."""
    path = variables.get("NEXTCHAR_UDS")
    if path:
        with ExitStack() as opened:
            connection = opened.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(TIMEOUT_S)
            connection.connect(os.path.expanduser(path))
            opened.pop_all()
        return connection
    port = variables.get("NEXTCHAR_PORT") or str(DEFAULT_PORT)
    number = DEFAULT_PORT if is_link("NEXTCHAR_PORT", port) else int(port)
    if number == 0:
        raise ValueError("NEXTCHAR_PORT is '0': which port was free is not known here")
    host = addresses(variables.get("NEXTCHAR_HOST") or DEFAULT_HOST)[0]
    *others, last = FROM_HERE.get(host, (host,))
    for address in others:
        with suppress(OSError):
            return socket.create_connection((address, number), TIMEOUT_S)
    return socket.create_connection((last, number), TIMEOUT_S)


def ask(variables: Mapping[str, str]) -> tuple[int, str]:
    """Status and body of /readyz."""
    http = HTTPConnection("localhost")
    http.sock = connect(variables)
    try:
        http.request("GET", "/readyz")
        response = http.getresponse()
        return response.status, response.read(2000).decode(errors="replace")
    finally:
        http.close()


def main() -> int:
    try:
        status, body = ask(os.environ)
    except (OSError, ValueError, HTTPException) as error:
        print(str(error).strip() or type(error).__name__)
        return 1
    if status == 200:
        return 0
    print(status, body)
    return 1


if __name__ == "__main__":
    sys.exit(main())
