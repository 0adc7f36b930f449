from __future__ import annotations

import pytest

from model import processor


@pytest.mark.parametrize("pattern", ["/dev/nvidia[0-9]*", "/dev/dxg", None])
def test_a_card_is_looked_for_where_drivers_put_one(pattern: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "glob", lambda given: ["there"] if given == pattern else [])
    assert processor.gpu_present() == (pattern is not None)
