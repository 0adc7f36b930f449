"""What the log does with a standard error that is no ordinary one; how it looks on real ones: test_surroundings.py."""

from __future__ import annotations

import io
import sys

import pytest

from app.operation.log import _takes_any_character, _takes_colours


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "colours"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_colours_are_for_terminals_that_have_them_and_people_who_want_them(
    environment: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert _takes_colours() == colours
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not _takes_colours()


@pytest.mark.parametrize(
    ("encoding", "any_character"), [("UTF-8", True), ("utf8", True), ("ascii", False), ("latin1", False)]
)
def test_json_is_written_in_ascii_where_standard_error_refuses_characters(
    encoding: str, any_character: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding))
    assert _takes_any_character() == any_character
