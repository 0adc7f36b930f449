"""The pages at `/` and `/docs` in the system's Chromium, against a real server process that serves a tiny model.

One server and one browser for the module, and pages that are loaded anew for each test; a test that ends the server
starts it anew on the same port. Every test also holds the page to two rules: nothing on the console, no request to
another host.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, Route, expect, sync_playwright

from model import checkpoint as checkpoints
from tests.models import random_checkpoint
from tests.programs import require

START_S = 300  # the longest: a first start compiles, and a machine may have other work
WAIT_MS = 20_000  # the longest for anything on the page; a machine may have other work
ENDLESS = 1_000_000  # more characters than the slow model writes while a test looks
HISTORY = [
    {"epoch": e, "seconds": 1.0, "train_perplexity": 1 + 900 / e**2, "validation_perplexity": 2 + 900 / e}
    for e in range(1, 21)
]
BROWSER_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
OPTIONS: dict[str, Any] = {"locale": "en-GB", "viewport": {"width": 1200, "height": 900}}


class Server:
    """`python -m app` on a port of its own."""

    def __init__(self, models_dir: Path, **more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {
            "NEXTCHAR_MODELS_DIR": str(models_dir),
            "NEXTCHAR_DEFAULT_MODEL": "tiny",
            "NEXTCHAR_PORT": str(self.port),
            "NEXTCHAR_MAX_NUM_CHARS": str(ENDLESS),
            "NEXTCHAR_MAX_ANSWER_MB": "4096",
            "NEXTCHAR_MAX_PREFIX_CHARS": str(ENDLESS),
            "NEXTCHAR_REQUEST_TIMEOUT_S": "300",
            "NEXTCHAR_LOG_LEVEL": "error",
            **more,
        }
        outside = {name: value for name, value in os.environ.items() if not name.startswith("NEXTCHAR_")}
        self._environment = {**outside, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._process = subprocess.Popen([sys.executable, "-m", "app"], env=self._environment)
        deadline = time.monotonic() + START_S
        while not self._answers("/readyz"):
            assert self._process.poll() is None, "the server ended while it was starting"
            assert time.monotonic() < deadline, "the server does not become ready"
            time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        if how == signal.SIGKILL:
            self.gone()

    def gone(self) -> None:
        assert self._process is not None
        self._process.wait(START_S)

    def generate(self, **fields: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/generate", json=fields, timeout=START_S)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def _answers(self, path: str) -> bool:
        try:
            return httpx.get(self.url + path).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models_dir = tmp_path_factory.mktemp("models")
    training = {"corpus": {"name": "random weights"}, "epochs": 20, "train_perplexity": 3.25, "history": HISTORY}
    tiny = dataclasses.replace(random_checkpoint(scale=3.0), training=training)
    checkpoints.save(models_dir / "tiny", tiny)
    checkpoints.save(models_dir / "slow", random_checkpoint("lstm", hidden_dim=768))
    checkpoints.save(models_dir / "digits", random_checkpoint(characters="0123456789 ", cell="gru", scale=3.0))
    running = Server(models_dir)
    try:
        running.start()
        yield running
    finally:
        running.end()


@pytest.fixture
def server(started: Server) -> Server:
    """The module's server, alive again where the test before failed in between."""
    started.start()
    return started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = require("chromium")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=BROWSER_ARGS)
        yield running
        running.close()


Open = Callable[..., Page]
Scheme = Literal["dark", "light", "null"]
Motion = Literal["no-preference", "null", "reduce"]


@pytest.fixture(scope="module")
def pages(browser: Browser) -> dict[str, Page]:
    """Those that no test has open, by the options of their context: a fresh one takes three times as long."""
    return {}


@pytest.fixture
def open_page(server: Server, browser: Browser, pages: dict[str, Page]) -> Iterator[Open]:
    """Opens the page, loaded anew, in a context with these options. Afterwards: no errors, no other host."""
    opened: list[tuple[str, Page]] = []
    complaints: list[str] = []
    hosts: set[str] = set()

    def complain(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    listeners: dict[Any, Callable[[Any], None]] = {
        "console": complain,
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda request: hosts.add(httpx.URL(request.url).netloc.decode()),
    }

    def open_it(color_scheme: Scheme = "null", reduced_motion: Motion = "null", **options: Any) -> Page:
        key = repr(options)
        page = pages.pop(key, None) or browser.new_context(**{**OPTIONS, **options}).new_page()
        opened.append((key, page))
        page.set_default_timeout(WAIT_MS)
        page.emulate_media(color_scheme=color_scheme, reduced_motion=reduced_motion)
        for event, listener in listeners.items():
            page.on(event, listener)
        page.goto(server.url)
        expect(page.locator("#about dl")).to_be_visible()
        return page

    yield open_it
    for key, page in opened:
        page.context.unroute_all()
        page.context.clear_permissions()
        page.goto("about:blank")  # nothing that was typed or is still on its way comes back
        page.mouse.move(0, 0)
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        pages[key] = page
    # Chromium itself reports each answer that is not 2xx, and a connection that broke: those the page handles.
    own = [text for text in complaints if not text.startswith("Failed to load resource")]
    assert own == []
    assert hosts == {f"127.0.0.1:{server.port}"}


def begin(page: Page, prefix: str, num_chars: int = 40) -> None:
    page.get_by_label("Begin with").fill(prefix)
    page.get_by_label("Length").fill(str(num_chars))
    page.get_by_role("button", name="Write").click()


def written(page: Page) -> str:
    return page.locator("#written").evaluate("(element) => element.textContent") or ""


def finished(page: Page, num_chars: int) -> str:
    """The written text, once there is this much of it and nothing more to come."""
    expect(page.locator("#written > span")).to_have_count(num_chars)
    expect(page.locator("#write")).to_have_text("Write")
    return written(page)


def some_written(page: Page) -> None:
    expect(page.locator("#written > span").first).to_be_attached()


def begin_without_end(page: Page) -> None:
    page.get_by_label("Model", exact=True).select_option("slow")
    begin(page, "分开", ENDLESS)
    some_written(page)


@contextmanager
def writing_without_end(page: Page) -> Iterator[None]:
    begin_without_end(page)
    yield
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped after")


def test_writes_what_the_model_writes(server: Server, open_page: Open) -> None:
    page = open_page()
    begin(page, "分开", 40)
    assert finished(page, 40) == server.generate(prefix="分开", num_chars=40)["generated"]
    assert page.locator("#given").text_content() == "分开"
    expect(page.get_by_role("status")).to_contain_text("40 characters in")


def test_samples_with_the_chosen_options_and_seed(server: Server, open_page: Open) -> None:
    page = open_page()
    expect(page.get_by_label("Temperature")).to_be_hidden()
    page.get_by_label("Sampled").check()
    for label, value in {"Temperature": "1.5", "Top-k": "9", "Top-p": "0.9", "Seed": "7"}.items():
        page.get_by_label(label).fill(value)
    begin(page, "ab", 40)
    expected = server.generate(prefix="ab", num_chars=40, temperature=1.5, top_k=9, top_p=0.9, seed=7)
    assert finished(page, 40) == expected["generated"]
    expect(page.get_by_role("status")).to_contain_text("seed 7")


def test_a_drawn_seed_is_shown_and_gives_the_text_again(server: Server, open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Sampled").check()
    begin(page, "ab", 30)
    text = finished(page, 30)
    seed = int((page.get_by_role("status").text_content() or "").rpartition(" ")[2])
    assert server.generate(prefix="ab", num_chars=30, temperature=0.8, seed=seed)["generated"] == text


def test_an_empty_box_begins_where_a_text_begins(server: Server, open_page: Open) -> None:
    page = open_page()
    begin(page, "", 30)
    assert finished(page, 30) == server.generate(prefix="", num_chars=30)["generated"]
    assert page.locator("#given").text_content() == ""
    with page.expect_request("**/generate") as sent:
        page.get_by_role("button", name="Go on").click()
    assert '"state":' in (sent.value.post_data or "")
    assert finished(page, 60) == server.generate(prefix="", num_chars=60)["generated"]


def test_a_surprise_is_another_each_time_and_asks_for_an_empty_box(server: Server, open_page: Open) -> None:
    page = open_page()
    surprise = page.get_by_role("button", name="Surprise me")
    page.get_by_label("Begin with").fill("ab")
    expect(surprise).to_be_hidden()
    page.get_by_label("Begin with").fill("")
    page.get_by_label("Sampled").check()
    page.get_by_label("Seed").fill("5")
    page.get_by_label("Likeliest").check()
    page.get_by_label("Length").fill("30")
    texts = []
    for _ in range(2):
        surprise.click()
        expect(page.get_by_label("Sampled")).to_be_checked()
        texts.append(finished(page, 30))
        seed = int((page.get_by_role("status").text_content() or "").rpartition(" ")[2])
        expected = server.generate(prefix="", num_chars=30, temperature=0.8, seed=seed)
        assert texts[-1] == expected["generated"]
    assert texts[0] != texts[1]


def test_shows_the_text_while_it_is_written_and_stops(open_page: Open) -> None:
    page = open_page()
    with writing_without_end(page):
        expect(page.locator("#caret")).to_be_visible()
        before = len(written(page))
        expect(page.locator("#written > span").nth(before)).to_be_attached()
    stopped = len(written(page))
    assert 0 < stopped < ENDLESS
    expect(page.locator("#caret")).to_be_hidden()
    page.get_by_label("Length").fill("5")
    page.get_by_role("button", name="Go on").click()
    finished(page, stopped + 5)


def test_goes_on_where_it_ended_as_if_it_had_never_ended(server: Server, open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Sampled").check()
    page.get_by_label("Seed").fill("3")
    begin(page, "中", 30)
    finished(page, 30)
    with page.expect_request("**/generate") as sent:
        page.get_by_role("button", name="Go on").click()
    assert '"state":' in (sent.value.post_data or "")
    whole = server.generate(prefix="中", num_chars=60, temperature=0.8, seed=3)["generated"]
    assert finished(page, 60) == whole


def test_copies_the_whole_text(open_page: Open) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    begin(page, "战争", 20)
    text = finished(page, 20)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "战争" + text


def test_marks_characters_the_model_has_never_seen_and_takes_them_out(open_page: Open) -> None:
    page = open_page()
    begin(page, "分é开 E\u0301龘A", 20)
    expect(page.locator("#unknown")).to_contain_text("never seen these characters")
    assert page.locator("#mirror mark").all_text_contents() == ["é", "E\u0301龘"]  # A is lower-cased and known
    assert page.get_by_label("Begin with").get_attribute("aria-invalid") == "true"
    expect(page.get_by_label("Begin with")).to_be_focused()
    page.get_by_role("button", name="Take them out").click()
    assert page.get_by_label("Begin with").input_value() == "分开 A"
    assert page.locator("#unknown").text_content() == ""
    page.get_by_role("button", name="Write").click()
    finished(page, 20)
    assert page.locator("#given").text_content() == "分开 a"


def test_a_refused_beginning_leaves_the_text_before_it(open_page: Open) -> None:
    page = open_page()
    begin(page, "ab", 20)
    text = finished(page, 20)
    begin(page, "龘", 20)
    expect(page.locator("#mirror mark")).to_have_text("龘")
    assert finished(page, 20) == text


def test_tints_characters_and_shows_five_alternatives_with_their_probabilities(server: Server, open_page: Open) -> None:
    page = open_page()
    begin(page, "ab", 20)
    finished(page, 20)
    known = server.generate(prefix="ab", num_chars=20, logprobs=5)["logprobs"][4]
    page.locator("#written > span").nth(4).hover()
    rows = page.locator("#alternatives button")
    expect(rows).to_have_count(5)
    shown = [row.get_attribute("data-character") for row in rows.all()]
    assert shown == [alternative["character"] for alternative in known["alternatives"]]
    assert all(re.fullmatch(r"\d+(\.\d)?%", text) for text in page.locator("#alternatives .chance").all_text_contents())
    # The model is unsure of everything it writes, so no character goes without a tint.
    assert page.locator("#written > .t0").count() == 0
    page.mouse.move(1, 1)
    expect(page.locator("#alternatives")).to_be_hidden()


def test_an_alternative_continues_from_there_and_undo_brings_the_text_back(server: Server, open_page: Open) -> None:
    page = open_page()
    begin(page, "ab", 20)
    text = finished(page, 20)
    page.locator("#written > span").nth(4).hover()
    other = page.locator("#alternatives button:not([aria-current])").first
    character = other.get_attribute("data-character")
    other.click()
    finished(page, 4 + 1 + 20)
    start = text[:4] + str(character)
    assert written(page) == start + server.generate(prefix="ab" + start, num_chars=20)["generated"]
    page.get_by_role("button", name="Undo").click()
    assert finished(page, 20) == text


def test_works_with_the_keyboard_alone(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Begin with").focus()
    page.keyboard.type("ab")
    page.keyboard.press("Control+Enter")
    text = finished(page, 200)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.role") == "option":
            break
    focused = page.locator("#written > span:focus")
    place = "Array.prototype.indexOf.call(document.activeElement.parentElement.children, document.activeElement)"
    assert page.evaluate(place) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(place) == 1
    assert re.search(r", [<>]?\d+(\.\d)?%$", focused.get_attribute("aria-label") or "")
    page.keyboard.press("ArrowDown")
    below = page.evaluate(place)
    assert below > 10, "the line below"
    page.keyboard.press("ArrowUp")
    assert page.evaluate(place) < below
    page.keyboard.press("End")
    assert page.evaluate(place) == 199
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('#alternatives') !== null")
    page.keyboard.press("Escape")
    assert page.evaluate(place) == 1
    expect(page.locator("#alternatives")).to_be_hidden()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    character = page.evaluate("document.activeElement.dataset.character")
    page.keyboard.press("Enter")
    assert finished(page, 202)[:2] == text[0] + character
    assert page.evaluate(place) == 1


def test_escape_stops_writing(open_page: Open) -> None:
    page = open_page()
    begin_without_end(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_contain_text("Stopped after")


def test_an_option_out_of_bounds_is_pointed_at_and_nothing_is_sent(open_page: Open) -> None:
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.get_by_label("Sampled").check()
    page.get_by_label("Temperature").fill("9")
    begin(page, "ab", 20)
    expect(page.get_by_label("Temperature")).to_be_focused()
    page.get_by_label("Likeliest").check()  # where the temperature plays no part
    page.get_by_role("button", name="Write").click()
    finished(page, 20)
    assert len(sent) == 1


def test_what_the_server_does_not_allow_is_said_in_its_words(open_page: Open) -> None:
    page = open_page()
    begin(page, "ab", ENDLESS + 1)
    expect(page.locator("#problem")).to_contain_text(f"num_chars: {ENDLESS + 1}; this server allows {ENDLESS}")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


@pytest.mark.parametrize(("motion", "animation"), [("reduce", "none"), ("no-preference", "blink")])
def test_nothing_blinks_for_people_who_want_no_motion(open_page: Open, motion: str, animation: str) -> None:
    page = open_page(reduced_motion=motion)
    assert page.locator("#caret").evaluate("(caret) => getComputedStyle(caret).animationName") == animation


@pytest.mark.slow
def test_goes_on_after_the_server_was_started_anew(server: Server, open_page: Open) -> None:
    page = open_page()
    begin(page, "ab", 20)
    text = finished(page, 20)
    server.end()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#problem")).to_contain_text("The server cannot be reached. Your text is kept.")
    assert written(page) == text
    server.start()  # with another secret: the token is worth nothing now
    page.get_by_role("button", name="Try again").click()
    expected = text + server.generate(prefix="ab" + text, num_chars=20)["generated"]
    assert finished(page, 40) == expected
    expect(page.locator("#problem")).to_be_hidden()


@pytest.mark.slow
def test_takes_up_a_text_that_broke_off(server: Server, open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Sampled").check()
    page.get_by_label("Seed").fill("5")
    page.get_by_label("Model", exact=True).select_option("slow")
    length = 1_500
    begin(page, "ab", length)
    some_written(page)
    server.end()
    expect(page.locator("#problem")).to_contain_text("The connection broke off. What was written is kept.")
    kept = written(page)
    assert 0 < len(kept) < length
    server.start()
    page.get_by_role("button", name="Try again").click()
    whole = server.generate(model="slow", prefix="ab", num_chars=length, temperature=0.8, seed=5)["generated"]
    assert finished(page, length) == whole
    assert whole.startswith(kept)


@pytest.mark.slow
def test_says_in_plain_words_that_the_server_is_stopping(server: Server, open_page: Open) -> None:
    first, second = open_page(), open_page()
    with writing_without_end(first):
        server.end(signal.SIGTERM)  # the open text may go on; nothing new is taken
        begin(second, "ab", 20)
        expect(second.locator("#problem")).to_contain_text("The server is not ready just now")
        expect(second.locator("#problem")).to_contain_text("It asks to wait 5 s.")
    server.gone()
    server.start()
    second.get_by_role("button", name="Try again").click()
    finished(second, 20)


def test_another_model_shows_its_own_figures_and_writes(server: Server, open_page: Open) -> None:
    page = open_page()
    assert page.get_by_label("Model", exact=True).input_value() == "tiny"
    curve = page.get_by_role("img", name="Perplexity over the epochs of training")
    expect(curve).to_be_visible()
    assert curve.locator("path").count() == 2
    expect(page.locator("#about")).to_contain_text("random weights")
    expect(page.locator("#about")).to_contain_text("3.25")
    page.get_by_label("Model", exact=True).select_option("digits")
    expect(page.locator("#about")).to_contain_text("GRU")
    expect(page.locator("#about")).to_contain_text("no training curve")
    begin(page, "12", 20)
    assert finished(page, 20) == server.generate(model="digits", prefix="12", num_chars=20)["generated"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone_without_scrolling_sideways(open_page: Open, scheme: str) -> None:
    page = open_page(viewport={"width": 320, "height": 640}, color_scheme=scheme, has_touch=True)
    page.get_by_label("Sampled").check()
    begin(page, "分开" * 60 + "a" * 60, 300)
    finished(page, 300)
    # A space at the end of a line has no width, and nobody can tap it.
    widths = page.evaluate(
        "Array.from(document.querySelectorAll('#written > span'), (e) => e.getBoundingClientRect().width)"
    )
    tappable = [place for place, width in enumerate(widths) if width]
    for place in (tappable[0], tappable[len(tappable) // 2], tappable[-1]):
        character = page.locator("#written > span").nth(place)
        character.evaluate("(element) => element.scrollIntoView({ block: 'center' })")  # clear of the bar that stays
        character.tap()
        # A finger that is lifted leaves the character, and the focus comes only then: on a slow machine the panel may
        # go in between.
        expect(character).to_be_focused()
        expect(page.locator("#alternatives")).to_be_visible()
        box = page.locator("#alternatives").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
        # The panel may lie over the next character to be tapped; a person closes it first.
        page.keyboard.press("Escape")
        expect(page.locator("#alternatives")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert (_lightness(ink) < _lightness(paper)) == (scheme == "light")


def test_speaks_chinese_where_the_browser_does(open_page: Open) -> None:
    page = open_page(locale="zh-CN")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.get_by_label("开头").fill("分开龘")
    page.get_by_role("button", name="续写").click()
    expect(page.locator("#unknown")).to_contain_text("模型从未见过这个字符：龘")
    page.get_by_role("button", name="去掉它们").click()
    page.get_by_role("button", name="续写").click()
    expect(page.get_by_role("status")).to_contain_text("200 个字符，用时")
    expect(page.get_by_role("button", name="接着写")).to_be_visible()
    expect(page.locator("#about")).to_contain_text("训练困惑度")


def test_both_languages_hold_the_same_words(open_page: Open) -> None:
    page = open_page()
    kinds = """async (name) => {
      const words = Object.values(await import(`/web/words_${name}.js`))[0];
      return Object.fromEntries(Object.entries(words).map(([key, word]) => [key, typeof word]));
    }"""
    english = page.evaluate(kinds, "en")
    assert english == page.evaluate(kinds, "zh")
    named = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap((e) => "
        "[e.dataset.words, e.dataset.wordsPlaceholder, e.dataset.wordsLabel]).filter(Boolean)"
    )
    assert set(named) <= english.keys()


def test_events_are_read_wherever_the_network_cuts_them(open_page: Open) -> None:
    page = open_page()
    chunk = "id: 1\r\nevent: chunk\r\ndata: 分\r\ndata:  a\r\n\r\n"
    stream = ": hello\r\n\r\n" + chunk + "data\n\nevent: done\rdata: x: y\r\rid: 9\n\n"
    parsed = page.evaluate(
        """async (stream) => {
          const { EventParser } = await import("/web/stream.js");
          const whole = new EventParser().feed(stream);
          const byOne = new EventParser();
          return [whole, Array.from(stream).flatMap((piece) => byOne.feed(piece))];
        }""",
        stream,
    )
    expected = [
        {"type": "chunk", "data": "分\n a", "id": "1"},
        {"type": "message", "data": "", "id": "1"},
        {"type": "done", "data": "x: y", "id": "1"},
    ]
    assert parsed == [expected, expected]


def test_files_come_with_a_strict_policy_and_are_asked_about_each_time(server: Server) -> None:
    page = httpx.get(server.url + "/")
    paths = ["/", *(f"/{path}" for path in re.findall(r'(?:href|src)="\./(web/[^"]+)"', page.text))]
    assert len(paths) > 3
    for path in paths:
        answer = httpx.get(server.url + path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "private, no-cache"
        again = httpx.get(server.url + path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = httpx.head(server.url + path)
        assert head.headers["content-length"] == str(len(answer.content))
    assert httpx.get(server.url + "/web/style.css").headers["content-type"] == "text/css; charset=utf-8"
    assert httpx.get(server.url + "/web/main.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert not re.search(r"<style|style=|<script(?! type=\"module\" src=\"\./web/)|\son\w+=|https?://", page.text)


@pytest.mark.parametrize(
    "name", ["nothing.js", "index.html", "..%2fmain.py", "%2e%2e%2fmain.py", "__init__.py", "style.css%00"]
)
def test_nothing_but_the_pages_own_files_is_served(server: Server, name: str) -> None:
    answer = httpx.get(f"{server.url}/web/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def _lightness(colour: str) -> int:
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


@pytest.mark.parametrize("path", ["/texts", pytest.param("/texts/", marks=pytest.mark.slow)])
def test_the_page_writes_below_a_prefix_that_a_proxy_takes_off(server: Server, open_page: Open, path: str) -> None:
    page = open_page()
    asked = behind_a_proxy(page, server)
    page.goto(server.url + path)
    expect(page.locator("#about dl")).to_be_visible()
    begin(page, "分开", 40)
    assert finished(page, 40) == server.generate(prefix="分开", num_chars=40)["generated"]
    assert {"/texts/web/style.css", "/texts/models", "/texts/generate"} <= set(asked)
    assert all(own.startswith("/texts") for own in asked)


def behind_a_proxy(page: Page, server: Server, *, names_prefix: bool = True) -> list[str]:
    """Has the service below `/texts`, and nothing anywhere else. What is asked for, as it goes on."""
    asked: list[str] = []

    def proxy(route: Route) -> None:
        own = route.request.url.removeprefix(server.url)
        asked.append(own)
        if own.startswith("/texts"):
            headers = {**route.request.headers, **({"X-Forwarded-Prefix": "/texts"} if names_prefix else {})}
            route.fulfill(response=route.fetch(url=server.url + (own.removeprefix("/texts") or "/"), headers=headers))
        else:
            route.fulfill(status=404)

    page.context.route("**/*", proxy)
    return asked


def execute(page: Page, prefix: str) -> Locator:
    """Tries GET /generate out on the page at /docs. What is shown of the answer."""
    operation = page.locator('.opblock-get:has([data-path="/generate"])')
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("tr[data-param-name=prefix] input").fill(prefix)
    operation.get_by_role("button", name="Execute").click()
    return operation.locator(".live-responses-table")


@pytest.mark.slow
def test_the_documentation_shows_each_operation_in_light_and_dark(server: Server, open_page: Open) -> None:
    page = open_page(color_scheme="light")
    page.goto(f"{server.url}/docs")
    document = httpx.get(f"{server.url}/openapi.json").json()
    expect(page.locator(".opblock")).to_have_count(sum(len(methods) for methods in document["paths"].values()))
    expect(page.get_by_role("heading", name=document["info"]["title"])).to_be_visible()
    ink = "(element) => getComputedStyle(element).color"
    light = page.locator(".opblock-summary-path").first.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    dark = page.locator(".opblock-summary-path").first.evaluate(ink)
    assert _lightness(light) < 382 < _lightness(dark)


@pytest.mark.slow
def test_an_operation_is_tried_out_in_the_documentation(server: Server, open_page: Open) -> None:
    page = open_page()
    page.goto(f"{server.url}/docs")
    generated = server.generate(prefix="分开", num_chars=100)["generated"]
    expect(execute(page, "分开")).to_contain_text(json.dumps(generated, ensure_ascii=False))


@pytest.mark.slow
@pytest.mark.parametrize("names_prefix", [True, False])
@pytest.mark.parametrize("path", ["/texts/docs", "/texts/docs/"])
def test_the_documentation_works_below_a_prefix_that_a_proxy_takes_off(
    server: Server, open_page: Open, path: str, names_prefix: bool
) -> None:
    page = open_page()
    asked = behind_a_proxy(page, server, names_prefix=names_prefix)
    page.goto(server.url + path)
    expect(execute(page, "分开")).to_contain_text('"text"')
    assert any(own.startswith("/texts/generate?") for own in asked)
    assert all(own.startswith("/texts") for own in asked)


def test_a_document_that_cannot_be_loaded_is_said_on_the_page(server: Server, open_page: Open) -> None:
    page = open_page()
    page.context.route("**/openapi.json", lambda route: route.fulfill(status=429, json={"detail": "too often"}))
    page.goto(f"{server.url}/docs")
    expect(page.get_by_role("alert")).to_have_text("The document cannot be loaded: too often")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_behind_a_key_the_browser_asks_once_and_calls_carry_it(tmp_path: Path, browser: Browser, path: str) -> None:
    checkpoints.save(tmp_path / "tiny", random_checkpoint(scale=3.0))
    key = "a-key-of-more-than-sixteen-characters"
    guarded = Server(tmp_path, NEXTCHAR_API_KEYS=key)
    try:
        guarded.start()
        with browser.new_context() as stranger:  # without a key only what the refusal's type leads to is shown
            page = stranger.new_page()
            page.goto(f"{guarded.url}/problems/invalid-api-key")
            expect(page.get_by_role("heading", name="No API key")).to_have_css("font-weight", "400")
            with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):  # the browser asked, and nobody answered
                page.goto(guarded.url + path)
        with browser.new_context(http_credentials={"username": "me", "password": key}) as known:
            page = known.new_page()
            page.goto(guarded.url + path)
            expect(execute(page, "分开")).to_contain_text('"text"')
    finally:
        guarded.end()
