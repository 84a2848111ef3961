"""``live_activity`` as its visitors meet it: without JavaScript, and in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.examples.chromium import chromium, in_browser, screenshot
from tests.examples.running_example import RunningExample, running_example


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RunningExample]:
    with running_example("live_activity", "0", str(tmp_path)) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def tell(origin: str, who: str, what: str) -> None:
    """Fill in the form as a browser without scripts does."""
    urlopen(origin, urlencode({"who": who, "what": what}).encode(), timeout=10).close()


def page_at(origin: str) -> str:
    with urlopen(origin, timeout=10) as answer:
        page: str = answer.read().decode()
        return page


def test_the_page_is_up_to_date_without_scripts(site: RunningExample) -> None:
    """The form works, markup in it is only text, and the newest comes first."""
    tell(site.origin, "Ada", "made <coffee> & tea")
    tell(site.origin, "Bob", "drank it")
    tell(site.origin, "", "nobody said this")
    page = page_at(site.origin)
    assert "made &lt;coffee&gt; &amp; tea" in page
    assert page.index("<b>Bob</b>") < page.index("<b>Ada</b>")
    assert '<b id="total">2</b>' in page


def test_the_page_names_the_offset_behind_what_it_shows(site: RunningExample) -> None:
    """From there on the stream has only what came later."""
    tell(site.origin, "Ada", "made coffee")
    found = re.search(r'data-offset="([^"]+)"', page_at(site.origin))
    assert found is not None
    tell(site.origin, "Bob", "drank it")
    with urlopen(f"{site.origin}/streams/activity?offset={found[1]}", timeout=10) as answer:
        rest = answer.read()
    assert b"Bob" in rest
    assert b"Ada" not in rest


def test_visitors_cannot_write_the_stream(site: RunningExample) -> None:
    """They have the form for that."""
    entry = Request(f"{site.origin}/streams/activity", b"{}", {"Content-Type": "application/json"})
    with pytest.raises(HTTPError, match="405"):
        urlopen(entry, timeout=10)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """The board is read from the stream."""
    with running_example("live_activity", "0", str(tmp_path)) as first:
        tell(first.origin, "Ada", "made coffee")
        first.kill()
    with running_example("live_activity", "0", str(tmp_path)) as second:
        assert "made coffee" in page_at(second.origin)


def write(page: Page, who: str, what: str) -> None:
    page.get_by_label("Who").fill(who)
    page.get_by_label("What").fill(what)
    page.get_by_role("button", name="Tell everybody").click()


@in_browser
def test_two_windows(site: RunningExample, browser: Browser) -> None:
    """What one writes both show at once, each entry once, those of before included."""
    tell(site.origin, "Cyd", "was here first")
    context = browser.new_context(viewport={"width": 900, "height": 700})
    context.set_default_timeout(15_000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    first, second = context.new_page(), context.new_page()
    for page in (first, second):
        page.goto(site.origin)
        expect(page.locator("#status")).to_have_text("Live")
    write(first, "Ada", "made <coffee>")
    write(second, "Bob", "drank it")
    for page in (first, second):
        expect(page.locator("#entries li span")).to_have_text(["drank it", "made <coffee>", "was here first"])
        expect(page.locator("#total")).to_have_text("3")
    screenshot(first, "live-activity")
    first.reload()
    expect(first.locator("#entries li b")).to_have_text(["Bob", "Ada", "Cyd"])
    context.close()
    assert errors == []
