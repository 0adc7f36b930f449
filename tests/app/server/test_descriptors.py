"""How many connections are allowed under which limit of open files."""

from __future__ import annotations

import resource

import pytest

from app.server.descriptors import connections_that_fit

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "fit", "raised_to"),
    [
        (4096, 4096, 1000, 1000, None),
        (1024, 4096, 1000, 1000, 1064),
        (1024, INFINITE, 1000, 1000, 1064),
        (1024, 1024, 1000, 960, 1024),
        (100, 100, 1000, 50, 100),
        (INFINITE, INFINITE, 1000, 1000, None),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_connections_stay_below_it(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, fit: int, raised_to: int | None
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert connections_that_fit(wanted) == fit
    assert set_to == ([] if raised_to is None else [(raised_to, hard)])
