"""A real Chromium for tests, driven from a thread of its own, so that the reactor runs meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

import pytest
import pytest_twisted
from playwright.sync_api import Browser, Page, sync_playwright
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from tests.docs.pages import ROOT

SCREENSHOTS = ROOT / "artefacts" / "screenshots"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_reactor: Any = installed_reactor
_threads: list[ThreadPool] = []
"""The thread of the browser that runs, which is a new one for each browser."""
_T = TypeVar("_T")


def in_thread(function: Callable[..., _T], *arguments: object, **keywords: object) -> _T:
    """For fixtures: call a function in the browser's thread, while the reactor runs."""
    result: _T = pytest_twisted.blockon(deferToThreadPool(_reactor, _threads[-1], function, *arguments, **keywords))
    return result


def in_browser(story: Callable[..., None]) -> Callable[..., Deferred[None]]:
    """For tests: run in the browser's thread. Their fixtures are made outside of it."""

    @wraps(story)
    def test(**fixtures: object) -> Deferred[None]:
        return deferToThreadPool(_reactor, _threads[-1], story, **fixtures)

    return test


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; skips the tests that need it where there is none."""
    path = which("chromium") or which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine; on Debian: apt-get install chromium")
    thread = ThreadPool(1, 1, "browser")
    _threads.append(thread)
    thread.start()
    try:
        playwright = in_thread(sync_playwright().start)
        browser = in_thread(playwright.chromium.launch, executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            in_thread(browser.close)
            in_thread(playwright.stop)
    finally:
        _threads.remove(thread)
        thread.stop()


def screenshot(page: Page, name: str) -> Path:
    """Keep how the page looks, from top to bottom; to be called in the browser's thread."""
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
