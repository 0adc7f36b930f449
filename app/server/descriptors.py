"""File descriptors: how many connections the limit of open files leaves room for, and those that must be open."""

from __future__ import annotations

import os
import resource
import sys

RESERVED = 64  # for models, the watcher, libraries and connections that are being refused


def connections_that_fit(wanted: int) -> int:
    """Raises the limit as far as it is needed and allowed; gives `wanted`, or as many as fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + RESERVED:
        soft = wanted + RESERVED if hard == resource.RLIM_INFINITY else min(wanted + RESERVED, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(soft - RESERVED, soft // 2))


def open_standard_streams() -> None:
    """Opens what is closed of standard input, output and error on /dev/null.

    Else a socket would have its number: uvloop ends the process when it closes that one, and what a library writes as
    an error would go to a client.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115
