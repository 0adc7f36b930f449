"""How many connections the process's limit of open files leaves room for."""

from __future__ import annotations

import resource

RESERVED = 64  # for models, the watcher, libraries and connections that are being refused


def connections_that_fit(wanted: int) -> int:
    """Raises the limit as far as it is needed and allowed; gives `wanted`, or as many as fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + RESERVED:
        soft = wanted + RESERVED if hard == resource.RLIM_INFINITY else min(wanted + RESERVED, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(soft - RESERVED, soft // 2))
