from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from app.errors import ProblemError
from app.fields import MAX_PAIRS, from_form, from_json, from_query


class Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = ""
    number: int = 0
    names: list[str] = []


TEXT = st.text(st.characters(codec="utf-8"))


@given(TEXT, st.integers(-1000, 1000), st.lists(TEXT, max_size=3))
def test_what_is_encoded_comes_back_as_it_was(text: str, number: int, names: list[str]) -> None:
    fields = Fields(text=text, number=number, names=names)
    pairs = [("text", text), ("number", str(number)), *(("names", name) for name in names)]
    for quoting in (quote, lambda s, *_: quote(s, safe="分开é ")):
        encoded = urlencode(pairs, quote_via=quoting).encode()  # type: ignore[arg-type]
        assert from_query(Fields, encoded, ["names"]) == from_form(Fields, encoded, ["names"]) == fields
    assert from_json(Fields, fields.model_dump_json().encode()) == fields


@pytest.mark.parametrize("read", [from_query, from_form])
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"text=%FF", "is not UTF-8"),
        (b"text=\xff", "is not UTF-8"),
        (b"text=%ED%A0%80", "is not UTF-8"),
        (b"text=a&text=b", "text: is given more than once"),
        (b"number=ten", "number: 'ten'"),
        (b"txt=a", "txt: there is no such field"),
        (b"&".join([b"names=a"] * (MAX_PAIRS + 1)), f"has more than {MAX_PAIRS} fields"),
    ],
)
def test_what_cannot_be_read_is_a_422_that_says_why(read: object, raw: bytes, words: str) -> None:
    with pytest.raises(ProblemError) as caught:
        read(Fields, raw, ["names"])  # type: ignore[operator]
    assert caught.value.status == 422
    assert words in caught.value.detail


def test_a_form_that_looks_like_json_is_a_415() -> None:
    with pytest.raises(ProblemError) as caught:
        from_form(Fields, b'\n {"text": "a"}')
    assert caught.value.status == 415


def test_a_byte_order_mark_is_taken_off_json_once() -> None:
    assert from_json(Fields, b'\xef\xbb\xbf{"text": "\xef\xbb\xbfa"}').text == "\ufeffa"
    assert from_json(Fields, b"") == Fields()
    with pytest.raises(ProblemError, match="422"):
        from_json(Fields, b"\xef\xbb\xbf\xef\xbb\xbf{}")
