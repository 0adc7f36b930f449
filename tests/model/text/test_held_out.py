from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CorpusError
from model.text.batches import data_iter_consecutive, data_iter_random
from model.text.corpus import Corpus
from model.text.encoding import EncodedCorpus, encode
from model.text.held_out import MARGIN, MAX_ZONES, Joined, Spans, Split, split, training_text
from model.text.rules import TextRules
from model.text.source import DOCUMENT_END

texts = st.text("ab \n" + DOCUMENT_END, min_size=2, max_size=3000)
fractions = st.floats(0.001, 0.5)


def encoded(text: str) -> EncodedCorpus:
    return encode(Corpus("test", text, ""), TextRules(newlines="keep"))


def kept_out(text: str, fraction: float) -> Split:
    return split(encoded(text), fraction, "spread")


def places(spans: Spans) -> list[int]:
    return [place for start, end in spans for place in range(start, end)]


def margins(parts: Split) -> list[int]:
    return sorted(set(places(parts.zones)) - set(places(parts.blocks)))


def check_partition(parts: Split, length: int) -> None:
    trained, beside, measured = places(parts.stretches), margins(parts), places(parts.blocks)
    assert sorted(trained + beside + measured) == list(range(length))
    assert (parts.training_chars, parts.margin_chars, parts.validation_chars) == tuple(
        map(len, (trained, beside, measured))
    )
    assert len(parts.blocks) == len(parts.zones)
    for (start, end), (first, last) in zip(parts.zones, parts.blocks, strict=True):
        assert 1 <= start <= first < last <= end  # the first character of a text has none before it


@given(texts, fractions)
def test_every_character_is_in_exactly_one_of_training_margin_and_block(text: str, fraction: float) -> None:
    if not round(len(text) * fraction):
        with pytest.raises(CorpusError, match=f"validation_fraction {fraction} of {len(text)} characters is none"):
            kept_out(text, fraction)
        return
    parts = kept_out(text, fraction)
    check_partition(parts, len(text))
    assert len(parts.blocks) <= MAX_ZONES
    assert parts.training_chars >= 1
    assert kept_out(text, fraction) == parts  # it follows from the text


@given(st.integers(2, 300_000), fractions)
def test_without_line_ends_the_share_is_exact_and_a_fifth_of_it_at_most_goes_to_margins(
    length: int, fraction: float
) -> None:
    corpus = EncodedCorpus("", "", TextRules(), encoded("ab").vocabulary, np.zeros(length, np.uint8))
    if not round(length * fraction):
        return
    parts = split(corpus, fraction, "spread")
    assert length - parts.training_chars == round(length * fraction)
    assert parts.margin_chars <= min(0.2 * round(length * fraction), 2 * MARGIN * MAX_ZONES)
    assert all(a[1] < b[0] for a, b in pairwise(parts.zones))
    for (start, end), (first, last) in zip(parts.zones, parts.blocks, strict=True):
        assert first - start == end - last == min(MARGIN, (end - start) // 10)
    middles = [(start + end) / 2 / length for start, end in parts.zones]
    even = [(i + 0.5) / len(middles) for i in range(len(middles))]
    np.testing.assert_allclose(middles, even, atol=1.5 / length + 0.001)


@given(texts, fractions)
def test_the_end_is_what_was_always_held_out(text: str, fraction: float) -> None:
    count = round(len(text) * fraction)
    if not count:
        return
    parts = split(encoded(text), fraction, "end")
    check_partition(parts, len(text))
    assert parts.blocks == parts.zones == ((len(text) - count, len(text)),)
    indices = encoded(text).indices
    trained = training_text(indices, parts)
    assert isinstance(trained, np.ndarray)
    assert np.shares_memory(trained, indices) or not len(trained)
    np.testing.assert_array_equal(trained, indices[: len(text) - count])


def test_without_a_share_everything_is_trained_on() -> None:
    parts = kept_out("some text", 0.0)
    assert (parts.stretches, parts.blocks, parts.training_chars, parts.validation_chars) == (((0, 9),), (), 9, 0)


@pytest.mark.parametrize(("length", "zones"), [(100, 1), (400, 1), (1100, 2), (2000, 5), (4000, 10), (100_000, 10)])
def test_a_small_text_has_fewer_blocks_so_that_each_is_of_use(length: int, zones: int) -> None:
    parts = kept_out("x" * length, 0.1)
    assert len(parts.blocks) == zones
    assert parts.training_chars == length - length // 10
    assert parts.validation_chars >= 0.8 * length // 10


def names(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    return sorted("".join(rng.choice(letters, rng.integers(4, 10))) for _ in range(count))


@pytest.mark.parametrize("count", [150, 500, 2000])
def test_a_list_of_names_is_held_out_name_by_name_over_the_whole_alphabet(count: int) -> None:
    lines = [name + "\n" for name in names(count)]
    text = "".join(lines)
    parts = kept_out(text, 0.1)
    measured: list[str] = []
    trained: list[str] = []
    for spans, found in ((parts.blocks, measured), (parts.stretches, trained)):
        for start, end in spans:
            assert text[start - 1 : start] in ("", "\n")
            assert text[end - 1] == "\n"
            found.extend(text[start:end].splitlines(keepends=True))
    beside = [line for line in lines if line not in measured and line not in trained]
    assert sorted(measured + trained + beside) == lines
    assert len(measured) == pytest.approx(0.08 * count, rel=0.35)
    assert len(beside) >= 2 * len(parts.blocks)  # the neighbours are in neither
    firsts = {line[0] for line in measured}
    assert len(firsts) >= min(len(parts.blocks), 8)


def test_blocks_begin_and_end_where_documents_do() -> None:
    document = "a line of some words\n" * 9 + DOCUMENT_END
    text = document * 200
    parts = kept_out(text, 0.2)
    for start, end in (*parts.zones, *parts.blocks):
        assert (text[start - 1], text[end - 1]) == (DOCUMENT_END, DOCUMENT_END)


def test_long_lines_are_cut_between_words_and_a_text_without_any_where_it_must_be() -> None:
    text = ("word " * 400 + "\n") * 10
    parts = kept_out(text, 0.1)
    assert all(text[start - 1] == text[end - 1] == " " for start, end in parts.blocks)
    check_partition(kept_out("汉" * 5000, 0.1), 5000)


def test_what_is_joined_is_read_by_place_without_a_copy(tmp_path: Path) -> None:
    text = np.random.default_rng(0).integers(0, 200, 5000).astype(np.uint8)
    text.tofile(tmp_path / "indices")
    on_disk = np.memmap(tmp_path / "indices", np.uint8, "r")
    parts = Split(5000, ((100, 150), (1000, 1700), (4990, 5000)), ((110, 140), (1100, 1600), (4990, 5000)))
    joined = training_text(on_disk, parts)
    assert isinstance(joined, Joined)
    whole = np.concatenate([text[start:end] for start, end in parts.stretches])
    assert len(joined) == len(whole) == parts.training_chars
    np.testing.assert_array_equal(joined[np.arange(len(whole)).reshape(4, -1)].reshape(-1), whole)
    assert joined._indices is on_disk  # not read into memory


@given(texts, fractions, st.integers(1, 5), st.integers(1, 9), st.integers(0, 3))
def test_batches_of_what_is_joined_are_those_of_a_copy(text: str, fraction: float, N: int, T: int, seed: int) -> None:
    if not round(len(text) * fraction):
        return
    corpus = encoded(text)
    parts = split(corpus, fraction, "spread")
    joined = training_text(corpus.indices, parts)
    copy = np.concatenate([corpus.indices[start:end] for start, end in parts.stretches])
    for ours, theirs in (
        (data_iter_consecutive(joined, N, T), data_iter_consecutive(copy, N, T)),
        (
            data_iter_random(joined, N, T, np.random.default_rng(seed)),
            data_iter_random(copy, N, T, np.random.default_rng(seed)),
        ),
    ):
        for (X, Y), (A, B) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(X, A)
            np.testing.assert_array_equal(Y, B)
