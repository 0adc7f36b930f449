"""All of the scheduler in one thread, by hand: the event loop is two lists, the clock a number, and the decode thread a
function that is called. What happens next is drawn from a seed: requests arrive, are cancelled, run out of time, are
read slowly or not at all, and the engine fails. What happened is then the same whenever the seed is.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest

from app.refusals import Cancelled, DeadlineExceeded, QueueFull, StepFailed
from app.scheduling.answer_budget import AnswerBudget
from app.scheduling.observer import Observer
from app.scheduling.reply import Reply
from app.scheduling.requests import Chunk, Continuation, GenerateRequest, Result, ScoreRequest
from app.scheduling.scheduler import Scheduler
from app.scheduling.worker import Worker
from model.decoding.measure import measure
from model.sampling.options import Sampling
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from model.text.vocabulary import Vocabulary
from tests.measured import same_measures
from tests.model.plain_engine import PlainEngine, V

LETTERS = "\n abcde"
MAX_BEYOND = 30
STEP_S = 2**-10
MAX_ROWS, MAX_QUEUE = 3, 8
FIRST = np.log(np.array([1, 5, 2, 5, 1, 3, 1], np.float32))  # of texts that continue nothing


class Timer:
    """Once it is cancelled, it holds nothing: neither does asyncio's."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """What was to be called on the event loop, until it is."""

    def __init__(self, sent: Callable[..., None]) -> None:
        self.now = 0.0
        self.soon: deque[tuple[Callable[..., object], Any]] = deque()
        self.sent = sent
        self._later: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def clock(self) -> float:
        return self.now

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        self.sent(*args)
        self.soon.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(partial(callback, *args))
        heapq.heappush(self._later, (self.now + delay, next(self._order), timer))
        return timer

    def create_future(self) -> Any:
        raise AssertionError("nobody waits here")

    def run_one(self) -> None:
        callback, args = self.soon.popleft()
        callback(*args)

    def run_timers(self) -> None:
        while self._later and self._later[0][0] <= self.now:
            _, _, timer = heapq.heappop(self._later)
            if timer.call is not None:
                timer.call()


class Engine(PlainEngine):
    """Each step takes time, and one fails where it is told to."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.fails_in: int | None = None  # steps

    def step(self, ids: Any, state: Any) -> Any:
        self.loop.now += STEP_S
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in < 0:
                self.fails_in = None
                raise RuntimeError("broken for the test")
        return super().step(ids, state)


class Stepped(Worker):
    """Its turns are taken by hand."""

    alive = True

    def start(self) -> None:
        pass


class Told(Observer):
    def __init__(self, note: Callable[..., None]) -> None:
        self.note = note

    def tick(self, *what: Any) -> None:
        self.note("tick", *what)

    def step_failed(self) -> None:
        self.note("step failed")

    def admitted(self, *what: Any) -> None:
        self.note("admitted", *what)

    def first_character(self, seconds: float) -> None:
        self.note("first character", seconds)

    def finished(self, *what: Any) -> None:
        self.note("finished", *what)


@dataclass
class Asked:
    """read: what its reader has so far. before: what a text that is gone on with has read and written."""

    number: int
    at: float
    request: GenerateRequest | ScoreRequest
    reply: Reply[Any]
    source: AsyncIterator[Chunk]
    before: tuple[list[int], int] = ([], 0)  # no characters before those of FIRST
    cancelled: bool = False
    read: list[str] = field(default_factory=list)


def written_alone(prefix: list[int], num_chars: int, sampling: Sampling, seed: int | None) -> list[int]:
    """Character by character, one row, by the readable reference of choosing."""
    engine, text = PlainEngine(), list(prefix)
    state, logits = engine.start(1), FIRST[None]
    for character in prefix:
        logits, state = engine.step(np.array([character]), state)
    for position in range(num_chars):
        number = 0.0 if seed is None else uniform(seed, position)
        text.append(choose_reference(logits[0], sampling.temperature, sampling.top_k or V, sampling.top_p, number))
        logits, state = engine.step(np.array(text[-1:]), state)
    return text[len(prefix) :]


def cut(request: GenerateRequest, text: str, before: str) -> tuple[str, str]:
    """What belongs to a text that is there as a whole, and why it ends."""
    ending, most = "length", request.num_chars
    if request.end == "line":
        most = text.find("\n", request.num_chars)
    elif request.end == "word":  # each run of letters is one, and so is each of spaces
        known = before[-1:] + text
        ends = [at for at in range(1, len(known)) if not is_word(known[at - 1 : at + 1])]
        most = next((at - len(before[-1:]) for at in ends if at - len(before[-1:]) >= request.num_chars), -1)
    if request.end is not None:
        ending, most = ("length", len(text)) if most < 0 else ("end", most)
    for end in range(1, most + 1):
        complete = [stop for stop in request.stop if text[:end].endswith(stop)]
        if complete:
            return text[: end - len(max(complete, key=len))], "stop"
    return text[:most], ending


def is_word(two: str) -> bool:
    return two.isalpha() or two == "  "


class Simulation:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.happened: list[tuple[Any, ...]] = []
        self.asked: list[Asked] = []
        self.failures = 0
        self.loop = Loop(self.sent)
        self.engine = Engine(self.loop)
        self.budget = AnswerBudget(10**9)
        self.scheduler = Scheduler(
            self.engine,
            Vocabulary(LETTERS),
            self.loop,
            self.loop.clock,
            max_rows=MAX_ROWS,
            max_queue=MAX_QUEUE,
            cache_bytes=2000,
            observer=Told(self.note),
            budget=self.budget,
        )
        self.scheduler.start()
        outside: Any = self.scheduler._thread.batch._outside
        outside.park = self.noting("parked", outside.park)
        outside.rest = self.noting("rested", outside.rest)

    def noting(self, kind: str, call: Callable[[Any], None]) -> Callable[[Any], None]:
        def noted(rows: Any) -> None:
            if rows:
                self.note(kind, len(rows))
            call(rows)

        return noted

    def note(self, *what: Any) -> None:
        self.happened.append((self.loop.now, *what))

    def sent(self, calls: list[tuple[Any, Any]]) -> None:
        of = {id(asked.reply): asked.number for asked in self.asked}
        for call, what in calls:
            self.note("sent", call.__name__, of[id(call.__self__)], getattr(what, "text", str(type(what))))

    # What can happen.

    def arrive(self) -> None:
        draw, caller = self.random, self.random.choice("xyz")
        timeout_s = draw.choice([None, None, draw.uniform(0.01, 0.3)])
        prefix = [draw.randrange(V) for _ in range(draw.randint(1, 9))]
        seen = [asked.before[0] for asked in self.asked if asked.before[0]]
        if seen and draw.random() < 0.15:
            prefix = draw.choice(seen)
        before: tuple[list[int], int] = (prefix, 0)
        request: GenerateRequest | ScoreRequest
        if draw.random() < 0.2:
            request = ScoreRequest(np.array(prefix), draw.randint(0, 3), timeout_s, caller)
        else:
            sampling = Sampling(
                draw.choice([0.5, 2.0]), draw.choice([None, 3]), draw.choice([0.8, 1.0]), draw.randrange(99)
            )
            state, sampling = None, draw.choice([Sampling(), sampling])
            left = [choice for choice in self.finished_choices() if choice[1].state is not None]
            if left and draw.random() < 0.3:
                begun, choice = draw.choice(left)
                before = (begun.before[0], begun.before[1] + len(choice.text))
                prefix = []
                sampling = begun.request.sampling
                if choice.seed is not None:
                    sampling = Sampling(sampling.temperature, sampling.top_k, sampling.top_p, choice.seed)
                state = choice.state if choice.state.pending is not None else None
            elif draw.random() < 0.1:
                prefix, before = [], ([], 0)
            request = GenerateRequest(
                np.array(prefix, np.int64),
                draw.choice([draw.randint(1, 20), draw.randint(1, 100)]),
                sampling,
                n=1 if before[1] else draw.randint(1, 3),
                stop=tuple("".join(draw.choices(LETTERS, k=draw.randint(1, 3))) for _ in range(draw.choice([0, 0, 2]))),
                end=draw.choice([None, None, "word", "line"]),
                logprobs=draw.choice([None, 0, 2]),
                state=state,
                first=None if prefix or state is not None else FIRST,
                return_state=draw.random() < 0.4,
                stream=draw.random() < 0.5,
                timeout_s=timeout_s,
                caller=caller,
            )
        try:
            submit: Any = self.scheduler.submit if isinstance(request, GenerateRequest) else self.scheduler.submit_score
            reply: Reply[Any] = submit(request)
        except QueueFull as full:
            self.note("refused", str(full))
            return
        self.asked.append(Asked(len(self.asked), self.loop.now, request, reply, aiter(reply), before))
        self.note("arrived", len(self.asked) - 1)
        if isinstance(request, GenerateRequest) and request.first is not None:
            self.note("nothing before it")

    def finished_choices(self) -> list[tuple[Any, Any]]:
        results = [(asked, asked.reply.answer) for asked in self.asked]
        return [(asked, found.choices[0]) for asked, found in results if isinstance(found, Result)]

    def cancel(self) -> None:
        if open_now := [asked for asked in self.asked if not asked.reply.done]:
            asked = self.random.choice(open_now)
            asked.cancelled = True
            asked.reply.cancel()

    def turn(self) -> None:
        """Of the decode thread, which would wait where there is neither mail nor work."""
        inbox, worker = self.scheduler._inbox, self.scheduler._thread
        if inbox._new or inbox._left or inbox._caught_up or worker.batch.busy:
            assert worker._next_turn()

    def deliver(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            if self.loop.soon:
                self.loop.run_one()

    def wait(self) -> None:
        self.loop.now += self.random.choice([0.001, 0.02, 0.15])
        self.loop.run_timers()

    def read(self) -> None:
        if self.asked:
            self.read_some(self.random.choice(self.asked), self.random.randint(1, 5))

    def read_all(self) -> None:
        for asked in self.asked:
            self.read_some(asked, 1000)

    def read_some(self, asked: Asked, chunks: int) -> None:
        while asked.reply._chunks and chunks:
            chunks -= 1
            try:
                anext(asked.source).__await__().send(None)
            except StopIteration as got:  # as a coroutine returns
                asked.read.append(f"{got.value.index}{got.value.text}")

    def fail(self) -> None:
        self.engine.fails_in = self.random.randint(0, 20)
        self.failures += 1

    # What must hold after each of these.

    def check(self) -> None:
        scheduler = self.scheduler
        batch, inbox = scheduler._thread.batch, scheduler._inbox
        scheduler.check()
        batch.check()
        inbox.check(batch.__contains__)
        scheduler.cache.check(each=True)
        on_the_way = [call for _, (calls,) in self.loop.soon for call in calls]
        answered = Counter(id(call.__self__) for call, _ in on_the_way if call.__name__ != "push")
        for job in scheduler._open:
            assert (job in inbox._new) + (job in batch) + answered[id(job.generation)] == 1, (
                "nobody will answer it, or two"
            )
            chunks = [what for call, what in on_the_way if call == job.generation.push]
            unread = sum(chunk.size for chunk in [*job.generation._chunks, *chunks])
            assert job.generation._sent - job.generation._read == unread
        assert batch._open.keys() - scheduler._open.keys() <= set(inbox._left), "nobody waits for it, and it goes on"
        for job in batch._outside._resting:
            wakes = job.generation._rests, job in inbox._caught_up, job in inbox._left
            assert any(wakes), "it rests, and nobody will wake it"
        assert batch.rows <= MAX_ROWS

    def run(self) -> list[tuple[Any, ...]]:
        actions = [self.arrive, self.turn, self.deliver, self.wait, self.read, self.cancel, self.fail]
        for action in self.random.choices(actions, [18, 40, 30, 9, 15, 2, 0.5], k=220):
            action()
            self.check()
        self.engine.fails_in = None
        while not all(asked.reply.done for asked in self.asked) or self.scheduler._inbox._left:
            for action in (self.turn, self.deliver, self.read_all):
                action()
                self.check()
        self.judge_all()
        batch = self.scheduler._thread.batch
        assert (batch.rows, batch.waiting, len(self.scheduler._inbox), list(batch._open)) == (0, 0, 0, [])
        assert self.loop.soon == deque()
        self.asked.clear()
        assert self.budget.taken == 0
        return self.happened

    def judge_all(self) -> None:
        for asked in self.asked:
            self.judge(asked)

    def judge(self, asked: Asked) -> None:
        error, request = asked.reply.error, asked.request
        if error is not None:
            self.note("gave up", asked.number, str(error))
            late = request.timeout_s is not None and self.loop.now >= asked.at + request.timeout_s
            reasons = {Cancelled: asked.cancelled, DeadlineExceeded: late, StepFailed: self.failures > 0}
            assert reasons[type(error)]
        elif isinstance(request, ScoreRequest):
            engine = PlainEngine()
            state, logits = engine.start(1), [np.zeros((0, V), np.float32)]
            for index in request.indices[:-1]:
                step, state = engine.step(np.array([index]), state)
                logits.append(step)
            expected = measure(np.concatenate(logits), request.indices[1:], request.alternatives)
            assert asked.reply.answer is not None
            assert same_measures(asked.reply.answer, expected)
        else:
            self.judge_text(asked, request)

    def judge_text(self, asked: Asked, request: GenerateRequest) -> None:
        self.read_some(asked, 1000)
        prefix, begun = asked.before
        assert asked.reply.answer is not None
        for choice in asked.reply.answer.choices:
            self.note("wrote", asked.number, choice.index, choice.text)
            whole = written_alone(prefix, begun + request.most_chars, request.sampling, choice.seed)
            text = "".join(LETTERS[i] for i in [*prefix, *whole])
            at = len(prefix) + begun
            assert (choice.text, choice.finish_reason) == cut(request, text[at:], text[:at])
            streamed = "".join(text[1:] for text in asked.read if text[0] == str(choice.index))
            assert streamed == (choice.text if request.stream else "")
            assert (choice.measured is None) == (request.logprobs is None)
            assert choice.measured is None or len(choice.measured.logprobs) == len(choice.text)
            if request.return_state:
                assert isinstance(choice.state, Continuation)
                assert choice.state.position == begun + len(choice.text)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduling.scheduler.Worker", Stepped)
    monkeypatch.setattr("app.scheduling.reply.UNREAD_BYTES", 2000)
    monkeypatch.setattr("model.text.boundaries.MAX_BEYOND", MAX_BEYOND)
    # A log that is kept, as pytest's is, keeps what was in the hands of whatever failed.
    monkeypatch.setattr("app.scheduling.worker.log.error", lambda *_, **__: None)


def test_whatever_happens_each_text_is_the_one_it_gets_alone_and_twice_the_same_happens() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(5):
        happened = Simulation(seed).run()
        assert happened == Simulation(seed).run()
        for _, kind, *what in happened:
            kinds[what[0] if kind == "finished" else kind] += 1
            kinds["cached"] += kind == "admitted" and bool(what[1])
    everything = {
        "length",
        "stop",
        "end",
        "score",
        "cancelled",
        "deadline",
        "failed",
        "refused",
        "parked",
        "rested",
        "cached",
        "nothing before it",
    }
    assert everything <= {kind for kind, times in kinds.items() if times > 1}, kinds
