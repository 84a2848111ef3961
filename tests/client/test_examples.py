"""The examples of the client run as their own words say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.running_service import running_service

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_service("--storage", "memory") as service:
        yield service.url


def started(example: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "examples" / example), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_chat_of_two(url: str) -> None:
    """What one types both see; the end of input ends it."""
    ada, bob = started("client_chat.py", "ada", STREAM_URL=url), started("client_chat.py", "bob", STREAM_URL=url)
    assert ada.stdin is not None
    ada.stdin.write("hello bob\n")
    ada.stdin.flush()
    assert (line_of(ada), line_of(bob)) == ("ada: hello bob\n",) * 2
    for person in (ada, bob):
        person.communicate(timeout=20)
        assert person.returncode == 0


def test_a_page_that_is_up_to_date() -> None:
    """An append shows on the page."""
    page = started("live_page.py", "0")
    address = re.search(r"http://\S+", line_of(page))
    assert address is not None
    root: Any = address[0]
    score = Request(f"{root}streams/scores", b'{"team": "red", "goals": 2}', {"Content-Type": "application/json"})
    with urlopen(score, timeout=10) as answer:
        assert answer.status == 204
    with urlopen(root, timeout=10) as answer:
        assert answer.read() == b"streaming\nred 2\n"
    page.terminate()
    page.communicate(timeout=20)
