"""What every test must leave behind: nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.logger import LogEvent, globalLogPublisher


@pytest.fixture(autouse=True)
def no_unhandled_failures() -> Iterator[None]:
    """Fail a test that drops a Deferred whose failure nobody handled."""
    found: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "twisted.internet.defer" and "log_failure" in event:
            found.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield
        gc.collect(1)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not found, [event["log_failure"].getTraceback() for event in found]


@pytest.fixture(autouse=True)
def no_delayed_calls() -> Iterator[None]:
    """Fail a test that leaves a timer running on the real reactor."""
    running: Any = reactor
    before = set(running.getDelayedCalls())
    yield
    left = [call for call in running.getDelayedCalls() if call not in before and call.active()]
    for call in left:
        call.cancel()
    assert not left, left
