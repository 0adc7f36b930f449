from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from app.wire.bodies import MAX_PAIRS, from_form, from_json, from_query
from app.wire.problems import ProblemError


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
        encoded = urlencode(pairs, quote_via=quoting).encode()
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


def test_only_named_fields_may_come_more_than_once_and_an_empty_value_is_one() -> None:
    assert from_query(Fields, b"text=&names=&names=b", ["names"]) == Fields(text="", names=["", "b"])
    assert from_query(Fields, b"", ["names"]) == from_form(Fields, b"") == Fields()
    for read in (from_query, from_form):
        with pytest.raises(ProblemError, match="422") as caught:
            read(Fields, b"number=1&text=a&number=1")
        assert caught.value.errors[0]["field"] == "number"
        with pytest.raises(ProblemError, match="422"):
            read(Fields, b"names=a")  # a list is not made of one where lists are not asked for


def test_a_hundred_fields_are_read_and_a_name_is_not_repeated_at_length() -> None:
    raw = b"&".join([b"names=a"] * MAX_PAIRS)
    assert len(from_query(Fields, raw, ["names"]).names) == MAX_PAIRS
    with pytest.raises(ProblemError) as caught:
        from_query(Fields, b"x" * 200 + b"=1&" + b"x" * 200 + b"=2")
    assert caught.value.errors[0]["field"] == "x" * 60


@pytest.mark.parametrize(("read", "what"), [(from_query, "query"), (from_form, "body")])
def test_a_refusal_says_where_the_fields_stand(read: Callable[..., Fields], what: str) -> None:
    for raw in (b"text=%FF", b"text=\xff", b"&".join([b"names=a"] * (MAX_PAIRS + 1))):
        with pytest.raises(ProblemError) as caught:
            read(Fields, raw, ["names"])
        assert caught.value.status == 422
        assert f"the {what} " in caught.value.detail


@pytest.mark.parametrize("raw", [b"{", b'{"number": "7"}', b'{"x": 1}', b"[]", b"null"])
def test_wrong_json_is_a_422_with_a_field(raw: bytes) -> None:
    class Strict(Fields):
        model_config = ConfigDict(extra="forbid", strict=True)

    with pytest.raises(ProblemError) as caught:
        from_json(Strict, raw)
    field = {b'{"number": "7"}': "number", b'{"x": 1}': "x"}.get(raw, "body")
    assert (caught.value.status, caught.value.errors[0]["field"]) == (422, field)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__  # what was sent is in the cause's traceback


@pytest.mark.parametrize(
    ("raw", "status", "field", "says"),
    [
        ('{"text": "a"}'.encode("utf-16"), 415, None, "UTF-16"),
        ('{"text": "a"}'.encode("utf-32-be"), 415, None, "UTF-32"),
        (b"\x1f\x8b\x08", 415, None, "gzip"),
        (b'{"text": "\xff"}', 422, None, "is not UTF-8"),
        (b'{"text": 1, "text": 1}', 422, "text", "is given more than once"),
        (b'{"a": {"b": [{"c": 1, "d": 2, "c": 3}]}}', 422, "c", "is given more than once"),
        (b'{"text": "\\ud83d"}', 422, "text", "lone surrogate, U+D83D"),
        (b'{"text": "\\ude00\\ud83d"}', 422, "text", "lone surrogate, U+DE00"),
        (b'{"names": ["a", "\\udfff"]}', 422, "names", "lone surrogate, U+DFFF"),
        (b'{"names": [{"\\udfff": 1}]}', 422, "names", "lone surrogate, U+DFFF"),
        (b'{"\\ud800": 1}', 422, "U+D800", "lone surrogate, U+D800"),
        (b'"\\ud800"', 422, "body", "lone surrogate, U+D800"),
        (b"[" * 10_000, 422, "body", "nested too deep"),
        (b'{"a":' * 10_000, 422, "body", "nested too deep"),
        (b'{"number": ' + b"9" * 10_000 + b"}", 422, "body", "too many digits"),
        (b"{%s}" % b",".join(b'"%d": 0' % i for i in range(MAX_PAIRS + 1)), 422, None, f"more than {MAX_PAIRS}"),
        (b'{"text": "a"} 1', 422, "body", "is not JSON: extra data (line 1, column 15)"),
    ],
)
def test_json_that_cannot_be_read_is_refused_by_what_is_wrong_in_it(
    raw: bytes, status: int, field: str | None, says: str
) -> None:
    with pytest.raises(ProblemError) as caught:
        from_json(Fields, raw)
    assert (caught.value.status, says in caught.value.detail) == (status, True), caught.value.detail
    assert [error["field"] for error in caught.value.errors] == ([] if field is None else [field])


def test_a_pair_of_surrogates_is_a_character_and_a_colon_is_no_key() -> None:
    assert from_json(Fields, b'{"text": "\\ud83d\\ude00 \\u00e9"}').text == "\U0001f600 é"
    assert from_json(Fields, b'{"text": "\\"text\\": \\"text\\":", "names": ["text"]}').text == '"text": "text":'


@pytest.mark.parametrize("read", [from_query, from_form])
@pytest.mark.parametrize(("raw", "says"), [(b"text=%", "two hex"), (b"text=%4", "two hex"), (b"text=a%zz", "%25")])
def test_a_percent_sign_that_begins_no_escape_is_refused(read: Callable[..., Fields], raw: bytes, says: str) -> None:
    with pytest.raises(ProblemError, match="422") as caught:
        read(Fields, raw)
    assert says in caught.value.detail
    assert read(Fields, b"text=%25zz%4a").text == "%zzJ"


def test_a_byte_order_mark_is_taken_off_a_form_once() -> None:
    assert from_form(Fields, b"\xef\xbb\xbftext=\xef\xbb\xbfa").text == "\ufeffa"
    with pytest.raises(ProblemError, match="415"):
        from_form(Fields, "text=a".encode("utf-16"))
    with pytest.raises(ProblemError, match="415"):
        from_form(Fields, b'\xef\xbb\xbf{"text": "a"}')


@pytest.mark.parametrize(
    ("raw", "is_like_json"), [(b"{}", True), (b"\r\n\t {", True), (b"text={}", False), (b"", False)]
)
def test_a_form_is_taken_for_json_by_its_first_character(raw: bytes, is_like_json: bool) -> None:
    if not is_like_json:
        assert from_form(Fields, raw).text == ("{}" if raw else "")
        return
    with pytest.raises(ProblemError) as caught:
        from_form(Fields, raw)
    assert caught.value.status == 415
    assert "application/json" in caught.value.detail
    with pytest.raises(ProblemError, match="422"):
        from_query(Fields, raw)
