"""What tests of the commands share."""

from __future__ import annotations

import pytest

from model.training.report import journal


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a short run's time goes into the picture that it leaves, of which most tests say nothing."""
    monkeypatch.setattr(journal, "draw_picture", lambda *_: None)
