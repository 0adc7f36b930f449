"""The bounds that OpenAI documents, and those of `/generate` where OpenAI names none."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.native.fields import GenerateFields
from app.openai.fields import CompletionBody


def body(**fields: Any) -> CompletionBody:
    return CompletionBody.model_validate({"model": "tiny", "prompt": "a", **fields})


def named(error: ValidationError) -> set[str]:
    """The fields that a refusal names, in its place or in its words."""
    return {str(item["loc"][0]) if item["loc"] else item["msg"].split("error, ")[1].split(":")[0]
            for item in error.errors()}  # fmt: skip


GOOD: list[tuple[str, list[Any]]] = [
    ("prompt", ["分开", "", ["a"] * 64]),
    ("max_tokens", [None, 0, 1, 2**53]),
    ("temperature", [None, 0, 0.0, 0.01, 1, 5]),
    ("top_p", [None, 1e-9, 1]),
    ("n", [None, 1, 16]),
    ("stream", [None, True, False]),
    ("logprobs", [None, 0, 5]),
    ("echo", [None, True]),
    ("stop", [None, [], "x", "x" * 100, ["x" * 100] * 4]),
    ("seed", [None, 0, 2**63 - 1]),
    ("presence_penalty", [None, 0, 0.0, -0.0]),
    ("frequency_penalty", [None, 0]),
    ("user", [None, "", "me"]),
]
BAD: list[tuple[str, list[Any]]] = [
    ("model", [None, 1, "m" * 65]),
    ("prompt", [None, 1, [], ["a"] * 65, [1], [["a"]]]),
    ("max_tokens", [-1, 2**53 + 1, "1", 1.5, True]),
    ("temperature", [-0.1, 5.1, 1e-9, 0.00999, float("nan"), float("inf"), "1"]),
    ("top_p", [0, -0.1, 1.01]),
    ("n", [0, 17]),
    ("stream", [1, "true"]),
    ("stream_options", [{"include": True}, {"include_usage": 1}, True]),
    ("logprobs", [-1, 6]),
    ("echo", [0]),
    ("stop", ["", [""], "x" * 101, ["x"] * 5, ["x" * 101], 1]),
    ("seed", [-1, 2**63]),
    ("presence_penalty", [0.1, -0.1]),
    ("frequency_penalty", [2, -2]),
    ("user", [1]),
    ("best_of", [1]),
]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in GOOD for value in values])
def test_what_openai_allows_is_taken_as_it_is_and_null_is_the_default(field: str, value: Any) -> None:
    taken = getattr(body(**{field: value}), field)
    if value is None:
        assert taken == CompletionBody.model_fields[field].default
    else:
        assert taken == ([value] if field in ("prompt", "stop") and isinstance(value, str) else value)


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD for value in values])
def test_anything_else_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        body(**{field: value})
    assert named(refused.value) == {field}


@pytest.mark.parametrize("stream", [None, False, True])
def test_options_of_a_stream_are_for_a_stream_only(stream: bool | None) -> None:
    if stream:
        options = body(stream=True, stream_options={}).stream_options
        assert options is not None
        assert not options.include_usage
    else:
        with pytest.raises(ValidationError) as refused:
            body(stream=stream, stream_options={"include_usage": True})
        assert named(refused.value) == {"stream_options"}


def test_one_prompt_or_stop_is_a_list_of_one() -> None:
    assert body(prompt="ab").prompt == ["ab"]
    assert body(prompt=["a", "b"]).prompt == ["a", "b"]
    assert body(stop="ab").stop == ["ab"]
    assert body(stop=["a", "b"]).stop == ["a", "b"]
    assert body().stop == body(stop=[]).stop == body(stop=None).stop == []


def test_whatever_is_allowed_here_is_allowed_by_generate() -> None:
    """Else a body that passed would fail in our own code."""
    for fields in ({"temperature": 0.01}, {"top_p": 1e-9}, {"n": 16}, {"logprobs": 5}, {"seed": 2**63 - 1}):
        GenerateFields(prefix="a", **fields)
    GenerateFields(prefix="a", stop=["x" * 100] * 4, num_chars=2**53)


def test_what_a_person_wrote_is_in_no_message_and_no_repr() -> None:
    secret = {"prompt": "my secret", "stop": "my secret", "user": "my secret"}
    assert "my secret" not in repr(body(**secret))
    with pytest.raises(ValidationError) as refused:
        body(**secret, n=0)
    assert "my secret" not in str(refused.value)


def test_a_penalty_is_refused_in_words() -> None:
    with pytest.raises(ValidationError, match="penalties are not supported by character models; leave it at 0"):
        body(frequency_penalty=0.5)
