from __future__ import annotations

import asyncio
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.generation import GenerateRequest
from app.scheduler import Scheduler
from app.stops import StopWatcher
from model.engines import open_engine
from model.language_model import LanguageModel
from model.sampling import Sampling
from tests.model.tiny import tiny_checkpoint

STOPS = st.lists(st.text("ab", min_size=1, max_size=5), max_size=4)


def read(text: str, stops: list[str]) -> tuple[str, bool]:
    """The meaning, as a reader goes: at the first character that completes a stop string, the text ends before the
    longest that is complete there."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))], True
    return text, False


@given(pieces=st.lists(st.text("ab", max_size=4), max_size=10), stops=STOPS)
def test_the_text_is_what_a_reader_of_single_characters_gets_however_it_arrives(
    pieces: list[str], stops: list[str]
) -> None:
    watcher = StopWatcher(stops)
    shown = "".join([watcher.feed(piece) for piece in pieces]) + watcher.end()
    assert (shown, watcher.stopped) == read("".join(pieces), stops)


@given(pieces=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=6), stops=STOPS)
def test_all_that_no_later_character_can_take_back_is_shown_at_once(pieces: list[str], stops: list[str]) -> None:
    watcher, text, shown = StopWatcher(stops), "", ""
    # Only an end of a stop string can complete one that has begun.
    ends = ["", *(stop[at:] for stop in stops for at in range(len(stop)))]
    for piece in pieces:
        text += piece
        shown += watcher.feed(piece)
        assert len(shown) == min(len(text), *(len(read(text + end, stops)[0]) for end in ends))


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        (["hello", " wor", "ld"], ["wor"], ["hello", " ", ""]),
        (["ab", "ab", "c"], ["abc"], ["", "ab", ""]),
        (["aaa", "b"], ["aab"], ["a", ""]),
        (["xabcdy"], ["abcd", "bc"], ["xa"]),
        (["xab", "c"], ["abcd", "bc"], ["xa", ""]),
        (["xabc"], ["c", "abc"], ["x"]),
    ],
)
def test_what_is_shown_piece_by_piece(pieces: list[str], stops: list[str], shown: list[str]) -> None:
    watcher = StopWatcher(stops)
    assert [watcher.feed(piece) for piece in pieces] == shown
    assert watcher.stopped
    assert watcher.feed("more") + watcher.end() == ""


@pytest.mark.parametrize(("tick_s", "flush_s"), [(0.0, 0.0), (0.0, 0.02), (10.0, 0.0), (10.0, 0.02)])
def test_the_text_is_the_same_at_any_speed_streamed_or_not(
    monkeypatch: pytest.MonkeyPatch, tick_s: float, flush_s: float
) -> None:
    """One step in an engine call or as many as there may be, looked at after each call or now and then."""
    monkeypatch.setattr("app.batch.TICK_S", tick_s)
    for module in ("app.batch", "app.parts"):
        monkeypatch.setattr(f"{module}.FLUSH_S", flush_s)
    checkpoint = tiny_checkpoint("gru", 1, 12, 3)  # three characters, so that stop strings are met everywhere
    engine = open_engine(checkpoint, "cpu", "onnxruntime", 1, spin=False)
    lm, rng = LanguageModel(checkpoint, engine), np.random.default_rng(1)
    prefix = checkpoint.vocabulary.characters[0]

    async def run() -> None:
        scheduler = Scheduler(engine, checkpoint.vocabulary)
        scheduler.start()
        try:
            for seed, stream, logprobs in product(range(12), (False, True), (None, 1)):
                lengths = rng.integers(1, 9, rng.integers(1, 5))
                stops = [checkpoint.vocabulary.decode(rng.integers(0, 3, length)) for length in lengths]
                request = GenerateRequest(
                    checkpoint.vocabulary.encode(prefix).astype(np.int64),
                    int(rng.integers(1, 80)),
                    Sampling(1.0, seed=seed),
                    n=2,
                    stop=tuple(stops),
                    stream=stream,
                    logprobs=logprobs,
                )
                generation = scheduler.submit(request)
                chunks = [chunk async for chunk in generation]
                for choice in (await generation).choices:
                    (whole,) = lm.generate([prefix], request.num_chars, temperature=1.0, seed=choice.seed)
                    text, stopped = read(whole.generated, stops)
                    assert (choice.text, choice.finish_reason) == (text, "stop" if stopped else "length")
                    own = [chunk for chunk in chunks if chunk.index == choice.index]
                    assert "".join(chunk.text for chunk in own) == (text if stream else "")
                    if logprobs is not None:
                        assert choice.measured is not None
                        assert len(choice.measured.logprobs) == len(text)
                        assert all(len(chunk.measured.logprobs) == len(chunk.text) for chunk in own if chunk.measured)
        finally:
            scheduler.close()
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 120))
