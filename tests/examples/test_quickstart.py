"""A reader who follows docs/quickstart.md gets from a clone to streamed tokens in a browser."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.docs.pages import blocks_of
from tests.docs.test_readme_commands import clone
from tests.examples.chromium import chromium, in_browser, screenshot
from tests.examples.running_example import KEYS, RunningExample

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", *KEYS)}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A clone in which the first line of the page has been run; the examples' page has the same."""
    clone(tmp_path)
    install, _ = (
        block.text for block in blocks_of("docs/quickstart.md") if block.argument.endswith(Path(__file__).name)
    )
    assert install in {block.text for block in blocks_of("examples/README.md")}
    subprocess.run(["sh", "-e", "-c", install], cwd=tmp_path, env=ENVIRONMENT, check=True)
    return tmp_path


@pytest.fixture
def started(installed: Path) -> Iterator[RunningExample]:
    """The second line, as written but on a free port."""
    _, start = (block.text for block in blocks_of("docs/quickstart.md") if block.argument.endswith(Path(__file__).name))
    process = subprocess.Popen(
        ["sh", "-c", f"exec {start.strip()} --listen tcp:0:interface=127.0.0.1"],
        cwd=installed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
    )
    example = RunningExample(process)
    yield example
    example.end()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.mark.timeout(300)
@in_browser
def test_from_a_clone_to_tokens_in_a_browser(browser: Browser, started: RunningExample) -> None:
    """Two lines and a click."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(started.origin)
    page.get_by_role("button", name="What is a durable stream?").click()
    expect(page.locator("#text")).to_contain_text("No model is at work here", timeout=20_000)
    expect(page.locator("#status")).to_have_text("Streaming")
    screenshot(page, "quickstart")
