"""``llm_streaming`` as a visitor meets it, in Chromium. Behind it is a model that says what the test wants."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import blockingCallFromThread
from twisted.web.server import Site

from tests.docs.pages import ROOT
from tests.examples.chromium import chromium, in_browser, in_thread, screenshot
from tests.examples.line import Line
from tests.examples.provider_stand_in import KEY, StandIn, anthropic_answer, anthropic_event, anthropic_text
from tests.examples.running_example import RunningExample, command_of, running_example

reactor: Any = installed_reactor

FIRST = ["The", " answer", " is", " naïve", " <b>and</b>", " long", ":\n\n", "one", " 👋"]
REST = [" two", " three", ", and", " the", " end."]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}


class Model:
    """What stands behind the stand-in: says the first half, and the rest when it is told to go on."""

    def __init__(self) -> None:
        self.stand_in = StandIn([])
        self._port = reactor.listenTCP(0, Site(self.stand_in, timeout=None, reactor=Clock()), interface="127.0.0.1")
        self._pause: Deferred[None] = Deferred()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port.getHost().port}"

    def begin_anew(self) -> None:
        """Next time, say all of it, with a pause in the middle."""
        self._pause = Deferred()
        steps = anthropic_answer(*FIRST, *REST)
        middle = steps.index(anthropic_text(REST[0]))
        self.stand_in.steps = [*steps[:middle], self._pause, *steps[middle:]]

    def go_on(self) -> None:
        """Say the rest."""
        blockingCallFromThread(reactor, self._pause.callback, None)

    def break_off(self) -> None:
        """Say no more than that something is wrong."""
        self.stand_in.steps[-len(REST) - 3 :] = [
            anthropic_event("error", error={"type": "overloaded_error", "message": "Overloaded"})
        ]
        self.go_on()

    def stop(self) -> Any:
        return self._port.stopListening()


class Place:
    """The application, and the line to it."""

    def __init__(self, start: Callable[[], RunningExample]) -> None:
        self._start = start
        self.server = start()
        self.line = Line(self.server.origin)
        self.logs: list[str] = []

    def restart(self) -> None:
        """Kill the application and start it again on what it left."""
        self.server.kill()
        self.logs += self.server.log
        self.server = self._start()
        self.line.target = self.server.origin


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    model = Model()
    yield model
    model.stop()


@pytest.fixture(scope="module")
def place(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("answers")
    options = ("--listen", "tcp:0:interface=127.0.0.1", "--data-dir", str(folder))
    with ExitStack() as stack:

        def start() -> RunningExample:
            settings = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_MODEL": "small"}
            return stack.enter_context(running_example("llm_streaming", *options, **settings))

        place = Place(start)
        stack.callback(place.line.close)
        yield place


class Visitor:
    """Somebody with a browser. Everything that the browser asks for, and every error of a script, is kept."""

    def __init__(self, browser: Browser, place: Place, **kind: Any) -> None:
        self.context: BrowserContext = browser.new_context(**kind)
        self.context.set_default_timeout(15_000)
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.asked: list[str] = []
        self.errors: list[str] = []
        self._place = place

    def open(self, path: str = "/") -> Page:
        page = self.context.new_page()
        page.goto(self._place.line.origin + path)
        return page

    def leave(self) -> None:
        self.context.close()
        assert self.errors == []
        foreign = [url for url in self.asked if not url.startswith((self._place.line.origin, "data:"))]
        assert foreign == [], "the page works without any other host"


@pytest.fixture
def visitor(request: pytest.FixtureRequest, browser: Browser, place: Place, model: Model) -> Iterator[Visitor]:
    model.begin_anew()
    place.line.mend()
    kind = getattr(request, "param", DESK)
    visitor: Visitor = in_thread(Visitor, browser, place, **kind)
    yield visitor
    in_thread(visitor.leave)


# --- what a visitor does and sees


def ask(page: Page, prompt: str = "What is this?") -> None:
    page.get_by_label("Your prompt").fill(prompt)
    page.get_by_role("button", name="Generate").click()


def expect_text(page: Page, *tokens: str) -> None:
    """Every token once, in order, and counted."""
    expect(page.locator("#text")).to_have_text("".join(tokens), use_inner_text=True, timeout=15_000)
    expect(page.locator("#tokens")).to_have_text(str(len(tokens)))


def expect_status(page: Page, status: str) -> None:
    expect(page.locator("#status")).to_have_text(status, timeout=15_000)


def ask_and_wait(visitor: Visitor) -> Page:
    """A page in the middle of an answer."""
    page = visitor.open()
    ask(page)
    expect_text(page, *FIRST)
    expect_status(page, "Streaming")
    return page


def stream_of(page: Page) -> str:
    """The URL of the stream that the page shows."""
    origin, _, answer_id = page.url.partition("/?stream=")
    return f"{origin}/streams/answers/{answer_id}"


def messages_in(page: Page) -> list[dict[str, str]]:
    with urlopen(stream_of(page) + "?offset=-1", timeout=10) as answer:
        found: list[dict[str, str]] = json.load(answer)
        return found


def wait_until_closed(page: Page) -> None:
    """Wait until the server has written the whole answer, whoever looks at it."""
    offset = "-1"
    while True:
        with urlopen(f"{stream_of(page)}?offset={offset}&live=long-poll", timeout=30) as answer:
            offset = answer.headers["Stream-Next-Offset"]
            if answer.headers["Stream-Closed"]:
                return


# --- the stories


@in_browser
def test_an_answer_is_generated(visitor: Visitor, place: Place, model: Model) -> None:
    """Token by token; at the end the page knows that this is all. The key stays where it belongs."""
    page = visitor.open()
    expect(page.get_by_role("radio", name=re.compile("Anthropic"))).to_be_checked()
    expect(page.get_by_role("radio", name=re.compile("OpenAI needs OPENAI_API_KEY"))).to_be_disabled()
    screenshot(page, "desk-1-before")
    ask(page)
    expect_text(page, *FIRST)
    expect_status(page, "Streaming")
    screenshot(page, "desk-2-streaming")
    model.go_on()
    expect_status(page, "Complete")
    expect_text(page, *FIRST, *REST)
    screenshot(page, "desk-3-complete")

    messages = messages_in(page)
    assert messages[0] == {"status": "started", "prompt": "What is this?", "provider": "Anthropic", "model": "small"}
    assert messages[1:] == [*({"token": token} for token in (*FIRST, *REST)), {"status": "complete"}]
    with urlopen(Request(stream_of(page), method="HEAD"), timeout=10) as answer:
        assert answer.headers["Stream-Closed"] == "true"
        expect(page.locator("#offset")).to_have_text(answer.headers["Stream-Next-Offset"])
    assert KEY not in json.dumps(messages)
    assert KEY not in page.content()
    assert model.stand_in.asked[-1].headers["x-api-key"] == KEY


@in_browser
def test_the_line_is_cut_in_the_middle(visitor: Visitor, place: Place, model: Model) -> None:
    """The page says so, and has everything as soon as there is a line again; the server went on meanwhile."""
    page = ask_and_wait(visitor)
    offset = page.locator("#offset").inner_text()
    place.line.cut()
    expect_status(page, "Reconnecting …")
    screenshot(page, "desk-4-line-cut")
    model.go_on()
    expect_text(page, *FIRST)
    place.line.mend()
    expect_status(page, "Complete")
    expect_text(page, *FIRST, *REST)
    expect(page.locator("#note")).to_have_text(f"resumed from {offset}")


@in_browser
def test_a_connection_breaks_and_nobody_notices(visitor: Visitor, place: Place, model: Model) -> None:
    """Where the server can be reached the page simply goes on."""
    page = ask_and_wait(visitor)
    for times in (1, 2, 3):
        place.line.drop()
        expect(page.locator("#history li", has_text="Resumed from")).to_have_count(times)
    model.go_on()
    expect_status(page, "Complete")
    expect_text(page, *FIRST, *REST)


@in_browser
def test_a_cut_between_tokens_and_their_offset(visitor: Visitor) -> None:
    """Tokens count with the offset behind them, so the same ones may come again."""
    half = 'event: data\ndata:[{"token":"one"},{"token":" two"}]\n\n'
    whole = half + 'event: control\ndata:{"streamNextOffset":"0_2","streamClosed":true}\n\n'
    bodies = [half, half, whole]

    def answer(route: Route) -> None:
        live = route.request.method == "GET"
        route.fulfill(status=200, content_type="text/event-stream", body=bodies.pop(0) if live else "")

    visitor.context.route("**/streams/answers/half*", answer)
    page = visitor.open("/?stream=half")
    expect_status(page, "Complete")
    expect_text(page, "one", " two")
    assert bodies == []


@in_browser
def test_disconnect_and_resume(visitor: Visitor, model: Model) -> None:
    """Nothing comes while disconnected; then exactly what was missed."""
    page = ask_and_wait(visitor)
    offset = page.locator("#offset").inner_text()
    page.get_by_role("button", name="Disconnect").click()
    expect_status(page, "Disconnected")
    model.go_on()
    wait_until_closed(page)
    expect_text(page, *FIRST)
    screenshot(page, "desk-5-disconnected")
    before = len(visitor.asked)
    page.get_by_role("button", name="Resume").click()
    expect_status(page, "Complete")
    expect(page.locator("#note")).to_have_text(f"resumed from {offset}")
    expect_text(page, *FIRST, *REST)
    assert [url for url in visitor.asked[before:] if "/streams/" in url] == [
        f"{stream_of(page)}?offset={offset}&live=sse"
    ]


@in_browser
def test_a_reload_in_the_middle(visitor: Visitor, model: Model) -> None:
    """The words are still there, and the rest follows."""
    page = ask_and_wait(visitor)
    page.reload()
    expect_text(page, *FIRST)
    expect(page.locator("#asked")).to_have_text("What is this?")
    expect_status(page, "Streaming")
    model.go_on()
    expect_status(page, "Complete")
    expect_text(page, *FIRST, *REST)


@in_browser
def test_several_tabs(visitor: Visitor, model: Model) -> None:
    """Who opens the share link sees the same, in the middle and after the end."""
    page = ask_and_wait(visitor)
    link = page.get_by_label("Share link").input_value()
    assert link == page.url
    with visitor.context.expect_page() as opened:
        page.get_by_role("link", name="Open in another tab").click()
    second = opened.value
    assert second.url == link
    expect_text(second, *FIRST)
    model.go_on()
    late = visitor.open(link[link.index("/?") :])
    for tab in (page, second, late):
        expect_status(tab, "Complete")
        expect_text(tab, *FIRST, *REST)
        expect(tab.locator("#offset")).to_have_text(page.locator("#offset").inner_text())


@in_browser
def test_a_replay_from_the_start(visitor: Visitor, model: Model) -> None:
    """In the middle and at the end: the same once more, not twice."""
    page = ask_and_wait(visitor)
    page.get_by_role("button", name="Replay from start").click()
    expect(page.locator("#history li").nth(1)).to_have_text(re.compile("Replay from the start"))
    expect_text(page, *FIRST)
    model.go_on()
    expect_status(page, "Complete")
    before = len(visitor.asked)
    page.get_by_role("button", name="Replay from start").click()
    expect(page.locator("#history li").nth(2)).to_have_text(re.compile("Replay from the start"))
    expect_status(page, "Complete")
    expect_text(page, *FIRST, *REST)
    assert visitor.asked[before:] == [f"{stream_of(page)}?offset=-1&live=sse"]


@in_browser
def test_the_server_is_killed_in_the_middle(visitor: Visitor, place: Place) -> None:
    """What was shown is kept; the page and everybody who comes later learns that there will be no more."""
    page = ask_and_wait(visitor)
    place.restart()
    expect_status(page, "Error")
    expect(page.get_by_role("alert")).to_contain_text("The server was restarted")
    expect_text(page, *FIRST)
    screenshot(page, "desk-6-server-restarted")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The server was restarted")
    expect_text(page, *FIRST)


@in_browser
def test_the_server_goes_away_and_comes_back(visitor: Visitor, place: Place, model: Model) -> None:
    """Asking says that it is away; a page that is open reads a finished answer from the server's next life."""
    page = ask_and_wait(visitor)
    page.get_by_role("button", name="Disconnect").click()
    model.go_on()
    wait_until_closed(page)
    place.line.cut()
    ask(page)
    expect(page.get_by_role("alert")).to_have_text("The server cannot be reached. Is it running?")
    place.restart()
    place.line.mend()
    page.get_by_role("button", name="Resume").click()
    expect_status(page, "Complete")
    expect_text(page, *FIRST, *REST)


@in_browser
def test_the_model_breaks_off(visitor: Visitor, model: Model) -> None:
    """What came is kept, and what is wrong is said."""
    page = ask_and_wait(visitor)
    model.break_off()
    expect_status(page, "Error")
    expect(page.get_by_role("alert")).to_have_text("The provider broke off: Overloaded")
    expect_text(page, *FIRST)
    screenshot(page, "desk-7-error")


@in_browser
def test_the_demo_answers_and_fails(visitor: Visitor) -> None:
    """Chosen by its button; one of the suggestions shows how an error looks."""
    page = visitor.open()
    page.get_by_role("radio", name=re.compile("Demo")).check()
    page.get_by_role("button", name="Fail in the middle").click()
    expect(page.locator("#provider")).to_have_text("Demo")
    expect_status(page, "Error")
    expect(page.locator("#problem")).to_contain_text("because you asked it to fail")
    expect(page.locator("#tokens")).to_have_text("20")


@in_browser
def test_who_asks_at_once_gets_the_first_provider(visitor: Visitor) -> None:
    """Even before the page knows which one that is."""
    held: list[Route] = []
    visitor.context.route("**/providers", lambda route: held.append(route))
    page = visitor.open()
    ask(page)
    expect(page.get_by_role("button", name="Generate")).to_be_disabled()
    held.pop().continue_()
    expect_text(page, *FIRST)
    expect(page.locator("#provider")).to_have_text("Anthropic")


@in_browser
def test_a_link_to_nothing(visitor: Visitor) -> None:
    """Is told, and not tried for ever."""
    page = visitor.open("/?stream=nothing")
    expect_status(page, "Error")
    expect(page.get_by_role("alert")).to_contain_text("There is no such answer")


@in_browser
def test_back_and_forward(visitor: Visitor, model: Model) -> None:
    """Answers are places in the browser's history."""
    page = ask_and_wait(visitor)
    model.go_on()
    expect_status(page, "Complete")
    page.go_back()
    expect_status(page, "Ready")
    expect(page.locator("#share")).to_be_hidden()
    page.go_forward()
    expect_status(page, "Complete")
    expect_text(page, *FIRST, *REST)


@in_browser
def test_only_with_the_keyboard(visitor: Visitor, model: Model) -> None:
    """Enter asks, and every control can be reached and has a name."""
    page = visitor.open()
    expect(page.get_by_role("radio", name=re.compile("Demo"))).to_be_enabled()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Your prompt")).to_be_focused()
    page.keyboard.type("What is this?")
    page.keyboard.press("Enter")
    expect_text(page, *FIRST)
    page.get_by_role("button", name="Disconnect").focus()
    page.keyboard.press("Space")
    expect_status(page, "Disconnected")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    page.keyboard.press("Space")
    expect_status(page, "Streaming")
    model.go_on()
    expect_status(page, "Complete")
    unnamed = page.locator("button, a, input, textarea").evaluate_all(
        "all => all.filter(one => !(one.textContent || one.labels?.length || one.ariaLabel)).map(one => one.outerHTML)"
    )
    assert unnamed == []


@pytest.mark.parametrize(
    "visitor", [{**PHONE, "color_scheme": scheme} for scheme in ("light", "dark")], indirect=True, ids=["light", "dark"]
)
@in_browser
def test_on_a_phone(visitor: Visitor, model: Model, request: pytest.FixtureRequest) -> None:
    """The answer comes into view, nothing is wider than the screen, and what is to be pressed is large enough."""
    page = ask_and_wait(visitor)
    expect(page.locator("#text")).to_be_in_viewport()
    expect(page.locator("#status")).to_be_in_viewport()
    model.go_on()
    expect_status(page, "Complete")
    scheme = "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
    screenshot(page, f"phone-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.locator("button:visible").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().height < 36).map(one => one.textContent)"
    )
    assert small == []


@pytest.mark.parametrize("visitor", [{**DESK, "color_scheme": "dark"}], indirect=True, ids=["dark"])
@in_browser
def test_in_the_dark(visitor: Visitor) -> None:
    """The page follows the reader's taste."""
    page = ask_and_wait(visitor)
    screenshot(page, "desk-dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground))) < 64


def test_a_bad_place_to_listen(tmp_path: Path) -> None:
    """Is told in one line."""
    ran = subprocess.run(
        [*command_of("llm_streaming"), "--listen", "nowhere:1", "--data-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "--listen nowhere:1: Unknown endpoint type" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_orderly_stop(tmp_path: Path) -> None:
    """Whoever follows an answer sees an orderly end, and the log has no complaint."""
    with running_example("llm_streaming", "--listen", "tcp:0:interface=127.0.0.1", "--data-dir", str(tmp_path)) as demo:
        question = Request(
            f"{demo.origin}/answers", b'{"prompt": "Why?", "provider": "demo"}', {"Content-Type": "application/json"}
        )
        with urlopen(question, timeout=10) as answer:
            answer_id = json.load(answer)["id"]
        with urlopen(f"{demo.origin}/streams/answers/{answer_id}?offset=-1&live=sse", timeout=10) as following:
            assert b"data" in following.readline()
            assert demo.end() == 0
            assert b"streamNextOffset" in following.read()
    assert "Traceback" not in "".join(demo.log)


def test_the_key_is_nowhere(place: Place, model: Model) -> None:
    """Not in the logs of all that has happened above, nor in what is on disk."""
    options = place.server.process.args
    assert isinstance(options, list)
    folder = Path(options[options.index("--data-dir") + 1])
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert model.stand_in.asked
    assert FIRST[1].encode() in kept
    assert KEY.encode() not in kept
    assert KEY not in "".join([*place.logs, *place.server.log])
