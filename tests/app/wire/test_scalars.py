from __future__ import annotations

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from app.wire.scalars import misspelt


class Fields(BaseModel):
    count: int = 1
    most: int | None = None
    share: Annotated[float, Field(ge=0)] = 0.0
    is_so: bool = False
    text: str = ""
    which: Literal["a", "b"] = "a"
    names: list[str] = []


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_what_python_writes_of_a_number_is_one(count: int, share: float, is_so: bool) -> None:
    given_ = {"count": str(count), "most": str(count), "share": repr(share), "is_so": str(is_so)}
    assert misspelt(Fields, given_) == []


@given(st.text(st.sampled_from("0123456789+-._eE xX１٣\n"), max_size=5))
def test_whatever_is_taken_has_the_value_that_python_reads(text: str) -> None:
    if not misspelt(Fields, {"count": text, "most": text}):
        assert text.removeprefix("-").isascii()
        assert text.removeprefix("-").isdigit()
        assert Fields.model_validate({"count": text}).count == int(text)
    if not misspelt(Fields, {"share": text}):
        assert set(text) <= set("0123456789.eE+-")
        assert float(text) == float(text)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("count", "1_0", "'1_0' is not a whole number"),
        ("most", "1.0", "'1.0' is not a whole number"),
        ("count", "5\n", "'5U+000A' is not a whole number"),
        ("share", "inf", "'inf' is not a number"),
        ("share", "1e", "'1e' is not a number"),
        ("is_so", "maybe", "'maybe' is neither true nor false"),
        ("is_so", "ye\u017f", "'ye\u017f' is neither true nor false"),  # which re.IGNORECASE takes for yes
    ],
)
def test_what_is_none_is_named_with_what_is_allowed(field: str, value: str, says: str) -> None:
    (error,) = misspelt(Fields, {"text": "1_0", "which": "1_0", "names": ["1_0"], "unknown": "1_0", field: value})
    assert error["field"] == field
    assert error["message"].startswith(says)
